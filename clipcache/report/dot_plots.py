"""Numbers with their intervals, one row an arm."""

from collections.abc import Mapping, Sequence
from math import isfinite

from matplotlib.figure import Figure

from clipcache.report.arm_style import Style
from clipcache.report.pictures import single
from clipcache.stats import Interval

MARKERS = ("o", "D", "s", "^", "v", "P")
NEUTRAL = Style("#1c1c1c", "solid", "o")


def dots(
    series: Mapping[str, Mapping[str, Interval]],
    looks: Mapping[str, Style],
    measure: str,
    *,
    neutral: float,
    texts: Mapping[str, str],
) -> Figure:
    """Return one row a name, in which each series has its dot and its interval.

    `neutral` is the value of no difference; `texts` stand right of the rows, by name.
    """
    names = list(dict.fromkeys(name for values in series.values() for name in values))
    step = 0.7 / len(series)
    figure, axes = single(0.9 + len(names) * max(0.3, 0.2 * len(series)) + 0.25)
    for number, values in enumerate(series.values()):
        for name, (mean, low, high) in values.items():
            row = names.index(name) + step * (number - (len(series) - 1) / 2)
            color = looks.get(name, NEUTRAL).color
            if isfinite(low) and isfinite(high):
                axes.plot([low, high], [row, row], color=color, lw=1.1 if number else 1.6)
            if isfinite(mean):
                fill = color if number == 0 else "white"
                axes.plot(mean, row, MARKERS[number % 6], color=color, mfc=fill, ms=5.5)
    axes.axvline(neutral, color="#1c1c1c", lw=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel(measure)
    across = axes.get_yaxis_transform()
    for row, name in enumerate(names):
        axes.text(1.02, row, texts.get(name, ""), transform=across, va="center", color="#444444")
    _explain(figure, list(series))
    return figure


def _explain(figure: Figure, series: Sequence[str]) -> None:
    axes = figure.axes[0]
    if len(series) > 1:
        for number, name in enumerate(series):
            fill = NEUTRAL.color if number == 0 else "white"
            axes.plot([], [], MARKERS[number % 6], color=NEUTRAL.color, mfc=fill, label=name)
        figure.legend(loc="outside upper left", ncols=4, frameon=False)
