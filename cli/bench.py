"""`clipcache bench score` and `clipcache bench embed`."""

from pathlib import Path

import click

from .options import (
    batch_size_option,
    device_option,
    encoder_device_option,
    json_option,
    workers_option,
)


@click.group()
@click.pass_context
def command(context: click.Context) -> None:
    """Measure how fast clipcache is on this machine, beside what others do in the same run."""
    from clipcache.benchmark.own_process import sigterm_exits

    context.with_resource(sigterm_exits())


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


@command.command()
@click.option(
    "--model", default="clipcache-tiny", show_default=True, help="Any that `embed` knows."
)
@click.option("--pretrained", help="A tag of the hub, a checkpoint file, or random.")
@encoder_device_option
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
    default="float32",
    show_default=True,
    help="What our network computes in; the plain loop's stays in float32.",
)
@click.option("--fast-decode", is_flag=True, help="Decode and scale images faster.")
@click.option("--compile", "compiled", is_flag=True, help="Compile our network.")
@click.option("--images", type=click.IntRange(1), help="How many.  [as many as take about 12 s]")
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A folder of images.  [48 drawn JPEGs of 400 x 533, in turn]",
)
@batch_size_option
@workers_option
@json_option
def embed(
    model: str,
    pretrained: str | None,
    device: str,
    precision: str,
    fast_decode: bool,
    compiled: bool,
    images: int | None,
    source: Path | None,
    batch_size: int,
    workers: int,
    as_json: bool,
) -> None:
    """Embed a folder of images, from files to a finished cache.

    Beside it, taking turns on the same images: the encoder alone, decoding alone, writing alone,
    several processes, a second run, a plain loop of open_clip and DataLoader in float32, and
    clip-retrieval where it is installed. Then --fast-decode against the usual way on one processor,
    and memory for few images and for many.
    """
    from clipcache.benchmark.embed import EmbedBench, bench_embed
    from clipcache.encoders.options import EncoderOptions

    from .output import print_json, print_machine
    from .speeds import print_speeds

    encoder = EncoderOptions(model, pretrained, device, precision, fast_decode, compiled)
    asked = EmbedBench(encoder, images, source, batch_size, workers)
    report = bench_embed(asked, say=lambda line: click.echo(line, err=True))
    if as_json:
        print_json(report)
    else:
        print_machine()
        print_speeds(report)
