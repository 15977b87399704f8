"""Options and arguments that several commands share."""

import math
import os
from pathlib import Path
from typing import Any

import click

from clipcache import registry


class PlaceType(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # not before click 8.4
    """A path, or the URL of something in a bucket, which a path would garble."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Path, or the URL as a str."""
        from clipcache.images.roots import place_of

        return place_of(value)


class NumberRange(click.FloatRange):
    """A number in a range; click lets NaN into every one, for it is neither less nor more."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a float; bad usage where it is outside of the range, NaN or infinite."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return found


PLACE = PlaceType()
SHARE = NumberRange(0, 1)
cache_argument = click.argument("cache", type=PLACE)
strategy_option = click.option(
    "--strategy",
    type=click.Choice(registry.names("strategies")),
    default="default",
    show_default=True,
    help="What makes an image worth a label.",
)
head_option = click.option(
    "--head",
    type=click.Choice(registry.names("heads")),
    default="auto",
    show_default=True,
    help="What turns vectors into classes.",
)
batch_option = click.option(
    "--batch", type=click.IntRange(1), default=10, show_default=True, help="Labels a round."
)
rounds_option = click.option(
    "--rounds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Rounds after the first labels.",
)
train_on_option = click.option(
    "--train-on",
    type=click.Choice(["all", "latest"]),
    default="all",
    show_default=True,
    help="All labels so far, or those of the latest round.",
)
head_start_option = click.option(
    "--head-start",
    type=click.Choice(["fresh", "continue"]),
    default="fresh",
    show_default=True,
    help="Fit from nothing, or from the head of the round before.",
)
label_noise_option = click.option(
    "--label-noise", type=SHARE, default=0.0, help="Share of wrong answers."
)
stop_option = click.option(
    "--stop",
    default="budget",
    show_default=True,
    help="Stop before the rounds are used up, with the first of some rules that holds, as in "
    "agreement:0.99,plateau: agreement:KAPPA (successive heads agree about the pool), gain:POINTS "
    "(little is expected of one more round), plateau:POINTS (top-1 no longer rises), "
    "uncertainty:SHARE (the head is sure of the pool).",
)
device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the pool is scored; the same images are chosen.",
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["inline", "ray"]),
    default="inline",
    show_default=True,
    help="Who scores the pool: all processors of this machine, or those of a Ray cluster, that of "
    "RAY_ADDRESS or one on this machine; the same images are chosen, but where two are as good as "
    "equal to clip_adapter or tip_adapter.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
root_option = click.option(
    "--root", type=click.Path(path_type=Path), help="Table: the folder that its paths start from."
)
path_column_option = click.option(
    "--path-column",
    default="path",
    show_default=True,
    help="Table: the column with the path. Parquet: that with the bytes, where there are several.",
)
path_pattern_option = click.option(
    "--path-pattern",
    default="{}",
    show_default=True,
    help="Table: how a path is made of the cell, such as images/{}.jpg.",
)
batch_size_option = click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Images encoded at a time.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    default=os.cpu_count(),
    show_default="one a core",
    help="Threads that decode.",
)
pretrained_option = click.option(
    "--pretrained",
    metavar="TAG|FILE",
    help="Where the encoder's weights are, if they came from a file.  [what the cache remembers]",
)
encoder_device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the encoder works; auto takes CUDA where there is one.",
)
