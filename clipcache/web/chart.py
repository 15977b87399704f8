"""The learning curve as a small drawing: numbers for an SVG that a page puts together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan

from clipcache.labels import Round

WIDTH, HEIGHT = 264.0, 132.0
LEFT, RIGHT, TOP, BOTTOM = 34.0, 8.0, 8.0, 20.0
"""Room around the plot, for the numbers at its edges."""


@dataclass(frozen=True)
class Curve:
    """One line of the chart."""

    name: str
    lines: tuple[str, ...]
    """Points of each unbroken part, as a polyline has them: "x,y x,y"."""
    end: tuple[float, float]
    """Where the newest point is."""


@dataclass(frozen=True)
class Chart:
    """Everything that is drawn, in pixels of a WIDTH x HEIGHT drawing."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    levels: tuple[tuple[float, str], ...]
    """Height and text of the lines across."""
    first: str
    last: str
    """Labels at the left and at the right end."""
    curves: tuple[Curve, ...]


def chart(rounds: Sequence[Round]) -> Chart | None:
    """Return top-1 and top-5 over labels; None before anything was measured."""
    measured = [r for r in rounds if not isnan(r.top1)]
    if not measured:
        return None
    start, end = min(r.labels for r in measured), max(r.labels for r in measured)
    lowest = min(3, int(4 * min(r.top1 for r in measured)))  # the quarter that the plot begins at
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(labels: int, share: float) -> tuple[float, float]:
        along = (labels - start) / (end - start) if end > start else 0.5
        up = (4 * share - lowest) / (4 - lowest)
        return round(LEFT + plot_width * along, 1), round(TOP + plot_height * (1 - up), 1)

    def curve(name: str, shares: list[float]) -> Curve:
        every = list(zip((r.labels for r in rounds), shares, strict=True))
        parts = [
            " ".join("{},{}".format(*place(*point)) for point in part)
            for missing, part in groupby(every, key=lambda point: isnan(point[1]))
            if not missing
        ]
        newest = [point for point in every if not isnan(point[1])][-1]
        return Curve(name, tuple(parts), place(*newest))

    return Chart(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        bottom=HEIGHT - BOTTOM,
        levels=tuple(
            (place(start, quarter / 4)[1], f"{25 * quarter} %") for quarter in range(lowest, 5)
        ),
        first=f"{start:,}",
        last=f"{end:,} labels" if end > start else "labels",
        curves=(
            curve("top-5", [r.top5 for r in rounds]),
            curve("top-1", [r.top1 for r in rounds]),
        ),
    )
