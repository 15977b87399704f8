"""`clipcache finetune RUN`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import (
    PLACE,
    SHARE,
    NumberRange,
    encoder_device_option,
    json_option,
    pretrained_option,
    workers_option,
)
from .tables import print_table

if TYPE_CHECKING:
    from clipcache.finetune.finetune import FinetuneSummary, Progress
    from clipcache.images.roots import Place


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--images",
    help="Where the images of RUN's cache lie, as for label: a folder, files, a table, a URL.  "
    "[what was given last]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The checkpoint to write, a new .safetensors file.",
)
@click.option(
    "--cache",
    type=PLACE,
    help="Embed all images of RUN's cache anew, into this new one.",
)
@click.option(
    "--tune",
    metavar="all|blocks:N|lora:R",
    default="all",
    show_default=True,
    help="What is trained: the whole image tower; its last N blocks and what follows; changes of "
    "rank R, which are added to the weights at the end.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Passes over the labels at most; held-back labels may end it sooner.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    help="Images trained on at a time.",
)
@click.option(
    "--rate",
    type=NumberRange(0, min_open=True),
    help="The highest learning rate of the tower.  [1e-5; lora: 2e-4]",
)
@click.option(
    "--wise",
    type=SHARE,
    help="How far to go from the weights before (0) to those after (1).  [what held-back labels "
    "say]",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Decides every random choice.",
)
@pretrained_option
@encoder_device_option
@workers_option
@json_option
def command(
    run: Path,
    images: str | None,
    out: Path,
    cache: "Place | None",
    tune: str,
    epochs: int,
    batch_size: int,
    rate: float | None,
    wise: float | None,
    seed: int,
    pretrained: str | None,
    device: str,
    workers: int,
    as_json: bool,
) -> None:
    """Train the image tower of RUN's encoder on the labels of RUN; write it as a checkpoint.

    `clipcache embed --pretrained` takes the checkpoint. With --cache, all images are embedded anew
    at once, with all labels and classes so far, and the same head is measured on both caches. The
    encoder has seen these labels: how sure a head may be, others must say, as those held out.
    """
    from clipcache.finetune.finetune import FinetuneOptions, finetune
    from clipcache.finetune.tower import Tune
    from clipcache.finetune.tune import TuneOptions
    from clipcache.run import Run

    from .output import print_json

    how = TuneOptions(Tune.parse(tune), epochs, batch_size, rate, wise, seed, workers)
    options = FinetuneOptions(how, pretrained, device)
    with status() as progress:
        summary = finetune(Run.open(run), images, out, options, cache=cache, progress=progress)
    if as_json:
        print_json(
            {"run": str(run), "out": str(out), "cache": cache and str(cache)} | vars(summary)
        )
    else:
        _print(summary, out)


@contextmanager
def status() -> "Iterator[Progress]":
    """Say on standard error what is being done, where it is a terminal."""
    shown = sys.stderr.isatty()

    def report(what: str, done: int, total: int) -> None:
        if shown and total:
            click.echo(f"\r\033[K{done:,} of {total:,} {what}", nl=False, err=True)

    try:
        yield report
    finally:
        if shown:
            click.echo("\r\033[K", nl=False, err=True)


def _print(summary: "FinetuneSummary", out: Path) -> None:
    tuning = summary.tuning
    said = "too few labels to hold some back, so all epochs were done"
    if tuning.held_back:
        said = (
            f"best after epoch {tuning.trained.best_epoch} as {tuning.held_back} labels say that "
            "were held back"
        )
    click.echo(
        f"{tuning.tune} of {summary.model}: {tuning.parameters:,} parameters, "
        f"{summary.labels:,} labels of {summary.classes:,} classes, {tuning.trained.steps:,} steps;"
        f" {said}; alpha {tuning.alpha:g}"
    )
    if summary.skipped:
        click.echo(
            f"{summary.skipped:,} labelled images cannot be used, the first: {summary.reason}"
        )
    click.echo(f"{out}: `clipcache embed --model {summary.model} --pretrained {out}` takes it")
    if summary.embedded:
        click.echo(
            f"new cache: {summary.embedded.pool:,} images in the pool, "
            f"{summary.embedded.test:,} held out, {summary.embedded.failed:,} failed"
        )
    if summary.test:
        lines = (
            ("the run's head, vectors as they were", summary.before),
            ("the same head, new vectors", summary.after),
            ("the head that was trained with the tower", summary.own),
        )
        print_table(
            (f"on {summary.test:,} test images", "top-1 %", "top-5 %"),
            [(name, f"{100 * a.top1:.1f}", f"{100 * a.top5:.1f}") for name, a in lines if a],
        )
        if summary.before and summary.after and summary.after.top1 < summary.before.top1:
            click.echo("on these images the vectors as they were are better: keep the old cache")
    else:
        click.echo("no image is held out to measure on")
    click.echo("seconds: " + ", ".join(f"{k} {s:.1f}" for k, s in summary.seconds.items()))
