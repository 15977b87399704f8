"""`clipcache demo`."""

import time
from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("clipcache-demo"),
    show_default=True,
    help="Folder for images, cache, runs and report.html.",
)
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="Runs an arm.")
def command(out: Path, seeds: int) -> None:
    """Do the main job on drawn garments: no arguments, no network, no GPU needed."""
    began = time.perf_counter()
    from clipcache.demo import run_demo
    from clipcache.report.demo import write_page

    from .output import print_arms

    result = run_demo(out, seeds, say=lambda step: click.echo(f"{step} ..."))
    write_page(result, out / "report.html")
    print_arms(result)
    click.echo(f"{out / 'report.html'} ({time.perf_counter() - began:.0f} s in all)")
