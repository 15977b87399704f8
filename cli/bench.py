"""`clipcache bench score`."""

from pathlib import Path

import click

from .options import device_option


@click.group()
def command() -> None:
    """Measure how fast clipcache is on this machine, beside what others do in the same run."""


@command.command()
@click.option("--rows", type=click.IntRange(100), help="Measure one pool of N images only.")
@click.option(
    "--classes", type=click.IntRange(1), default=40, show_default=True, help="Its classes."
)
@click.option("--dim", type=click.IntRange(1), default=512, show_default=True, help="Its width.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the pools on disk are put and removed again; 4.1 GB.  [temporary files]",
)
@device_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a case instead, one a line."
)
def score(
    rows: int | None, classes: int, dim: int, folder: Path | None, device: str, as_json: bool
) -> None:
    """Find the 10 smallest margins of a pool, with a linear head.

    Beside it, taking turns on the same pool: the matrix product alone, reading the memory alone,
    and numpy, torch, and scikit-learn, modAL and scikit-activeml where they are installed. Without
    --rows: pools of 62 thousand to 4 million images, which takes some minutes and 8 GB of memory.
    """
    from clipcache.benchmark.score import Case, default_cases, run_cases

    from .output import print_json_line, print_machine, timings_table

    cases = default_cases(device)
    if rows:
        cases = [Case(what, rows, classes, dim, device) for what in ("memory", "zarr")]
    if not as_json:
        print_machine()
    with timings_table(quiet=as_json) as add_row:
        for timing in run_cases(cases, folder):
            add_row(timing)
            if as_json:
                print_json_line(timing)
