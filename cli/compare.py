"""`clipcache compare CACHE... FOLDER`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clipcache import registry

from .options import (
    PLACE,
    SHARE,
    batch_option,
    head_start_option,
    json_option,
    label_noise_option,
    rounds_option,
    stop_option,
    train_on_option,
)

if TYPE_CHECKING:
    from clipcache.images.roots import Place

BESIDE = {
    "seeds": "--seeds",
    "baseline": "--baseline",
    "target": "--target",
    "eval_sizes": "--eval-size",
}
"""What may be given beside a preset or a plan file, as it changes none of their arms."""


def count_or(word: str) -> Callable[[str], str | int]:
    """Return what reads a whole number from 1, or a word that stands for all."""

    def read(text: str) -> str | int:
        if text == word:
            return text
        if not text.isdecimal() or int(text) < 1:
            raise click.BadParameter(f"{text!r} is neither {word!r} nor a whole number from 1")
        return int(text)

    return read


@click.command()
@click.argument("caches", nargs=-1, required=True, type=PLACE)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    type=click.Choice(registry.names("strategies")),
    help="What makes an image worth a label; give several.  [in a grid: default, margin, random]",
)
@click.option(
    "--head",
    "heads",
    multiple=True,
    type=click.Choice(registry.names("heads")),
    help="What turns vectors into classes; give several.  [in a grid: auto]",
)
@click.option(
    "--pool",
    "pools",
    multiple=True,
    type=count_or("full"),
    metavar="full|N",
    help="Score every image each round, or only N random ones; give several.  [in a grid: full]",
)
@click.option(
    "--init",
    "inits",
    multiple=True,
    help="The first labels, as in `clipcache loop`; give several.  [in a grid: kmeans]",
)
@click.option(
    "--traditional",
    is_flag=True,
    help="Add an arm without rounds: fresh random labels and a fresh head for every sample size.",
)
@batch_option
@rounds_option
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True, help="Runs an arm.")
@click.option(
    "--eval-size",
    "eval_sizes",
    multiple=True,
    type=count_or("all"),
    metavar="all|N",
    help="Measure on so many test images; several cost nothing.  [all]",
)
@train_on_option
@head_start_option
@label_noise_option
@stop_option
@click.option(
    "--baseline", help="The arm that others are held against first.  [random, or traditional]"
)
@click.option(
    "--target",
    type=SHARE,
    help="Top-1 accuracy to count the labels to, as 0.9.  [where the baseline ends]",
)
@click.option(
    "--preset",
    type=click.Choice(["report"]),
    help="report: margin, least_confidence, entropy and random on the full pool and on 300 images, "
    "and traditional, as in the report that clipcache goes back to.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    help="TOML file that says what to compare: these options as keys, and [[arm]] tables.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    caches: tuple["Place", ...],
    folder: Path,
    preset: str | None,
    plan_file: Path | None,
    as_json: bool,
    **choices: Any,
) -> None:
    """Compare ways to label on each CACHE, with its own labels; keep everything in FOLDER.

    By default: the defaults of `clipcache loop`, and margins of 300 images and random labels with a
    linear probe. --strategy, --head, --pool and --init make a grid, which replaces these three
    arms: every strategy with every head, pool and start. All arms have the same seeds.

    FOLDER/report.html tells what was found, and whether it could be chance. Run the same command
    again after a crash, or with more seeds or arms: what is finished is not computed twice.
    """
    given = _given(ctx, choices)
    _only_one_plan(preset, plan_file, given)
    from clipcache.comparison.choices import PRESETS, plan_of, read_toml
    from clipcache.comparison.run import compare
    from clipcache.report.comparison import write_report

    from .output import print_comparison, trials_progress

    chosen = PRESETS[preset] if preset else read_toml(plan_file) if plan_file else {}
    plan = plan_of({**chosen, **given}, str(plan_file or "options"))
    with (
        trials_progress() as (progress, say),
        compare(caches, folder, plan, progress, say) as results,
    ):
        analysis = write_report(results, folder)
    if as_json:
        click.echo((folder / "results.json").read_text(encoding="utf-8"))
    else:
        print_comparison(analysis, folder / "report.html")


def _given(ctx: click.Context, choices: dict[str, Any]) -> dict[str, Any]:
    """Return the options that somebody wrote, as a plan file would have them."""
    from click.core import ParameterSource

    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in choices.items()
        if ctx.get_parameter_source(key) is not ParameterSource.DEFAULT
    }


def _only_one_plan(preset: str | None, plan_file: Path | None, given: dict[str, Any]) -> None:
    if preset and plan_file:
        raise click.UsageError("--preset and --plan exclude each other")
    more = [key for key in given if key not in BESIDE]
    if (preset or plan_file) and more:
        raise click.UsageError(
            f"{'--preset' if preset else '--plan'} says what is compared: beside it only "
            f"{', '.join(BESIDE.values())} may be given"
        )
