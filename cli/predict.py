"""`clipcache predict RUN IMAGES`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import (
    PLACE,
    SHARE,
    batch_size_option,
    encoder_device_option,
    json_option,
    path_column_option,
    path_pattern_option,
    pretrained_option,
    root_option,
    workers_option,
)

if TYPE_CHECKING:
    from clipcache.images.roots import Place


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", metavar="IMAGES|CACHE", type=PLACE)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="A .csv or .parquet file.  [predictions.csv in RUN]",
)
@click.option(
    "--at-least",
    type=SHARE,
    default=0.0,
    help="Give no answer where the likeliest class is less likely than this, as in 0.9.",
)
@root_option
@path_column_option
@path_pattern_option
@pretrained_option
@encoder_device_option
@batch_size_option
@workers_option
@json_option
def command(
    run: Path,
    images: "Place",
    out: Path | None,
    at_least: float,
    root: Path | None,
    path_column: str,
    path_pattern: str,
    pretrained: str | None,
    device: str,
    batch_size: int,
    workers: int,
    as_json: bool,
) -> None:
    """Write the likeliest classes of IMAGES, as the labels of RUN teach.

    IMAGES is anything that embed takes; they are encoded by the encoder of RUN's cache, and into
    no cache. Or it is a CACHE that this encoder made. A line holds the key, five classes with
    probabilities, the answer (empty where unsure) and the reason why there is none.
    """
    from clipcache.finetune.kept import is_tuned
    from clipcache.images.source import SourceOptions
    from clipcache.predict.predict import PredictOptions, predict
    from clipcache.run import Run

    from .output import print_json
    from .tables import counter

    source = SourceOptions(root=root, path_column=path_column, path_pattern=path_pattern)
    options = PredictOptions(at_least, source, pretrained, device, batch_size, workers)
    out = out or run / "predictions.csv"
    with counter("images") as progress:
        summary = predict(Run.open(run), images, out, options, progress)
    if is_tuned(run):
        click.echo(
            "the encoder of the cache answers, not those that `loop --finetune` trained in its "
            "rounds; `clipcache finetune` trains one to keep",
            err=True,
        )
    if as_json:
        print_json({"out": str(out), **vars(summary)})
        return
    click.echo(f"the head has learned from {summary.learned_from:,} labels; {summary.calibration}")
    click.echo(
        f"{out}: {summary.answered:,} of {summary.images:,} images answered, "
        f"{summary.unsure:,} unsure, {summary.failed:,} cannot be used"
    )
    if summary.expected_accuracy is not None:
        click.echo(f"expected to be right: {100 * summary.expected_accuracy:.1f} % of the answers")
