"""Learning curves as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clipcache.labels import Round
from clipcache.report.pictures import count_labels, manner, save_png, single, svg
from clipcache.stats import mean_interval

COLORS = ("#0072b2", "#d55e00", "#666666", "#009e73", "#cc79a7")
"""Okabe and Ito's palette: told apart with any colour vision."""


def save_learning_curve(rounds: Sequence[Round], path: Path, title: str, *, classes: int) -> None:
    """Write top-1 and top-5 accuracy against the number of labels as a PNG, whole or not at all.

    With five `classes` or fewer the right one is always among five, so top-1 stands alone.
    """
    labels = [r.labels for r in rounds]
    top1 = ("top-1", [100 * r.top1 for r in rounds], COLORS[0])
    top5 = ("top-5", [100 * r.top5 for r in rounds], COLORS[1])
    with manner():
        figure, axes = _figure("accuracy on test images, %")
        for name, values, color in (top5, top1) if classes > 5 else (top1,):
            axes.plot(labels, values, "o-", ms=4, color=color, label=name)
        axes.set_title(title)
        axes.legend(frameon=False, loc="lower right")
        save_png(figure, path)


def learning_curves_svg(arms: Mapping[str, Sequence[Sequence[Round]]]) -> str:
    """Return an SVG with one line an arm: mean top-1 over its runs and the 95 % interval.

    All runs of all arms must have been evaluated at the same numbers of labels.
    """
    with manner():
        figure, axes = _figure("top-1 accuracy on test images, %")
        for (name, runs), color in zip(arms.items(), COLORS, strict=False):
            labels = [r.labels for r in runs[0]]
            values = zip(*runs, strict=True)
            at_each = [mean_interval([100 * r.top1 for r in same]) for same in values]
            axes.plot(labels, [i.mean for i in at_each], "o-", ms=4, color=color, label=name)
            low, high = [i.low for i in at_each], [i.high for i in at_each]
            axes.fill_between(labels, low, high, color=color, alpha=0.15, lw=0)
        axes.legend(frameon=False, loc="lower right")
        return svg(figure)


def _figure(measure: str) -> tuple[Figure, Axes]:
    figure, axes = single(4.2, width=7.0)
    axes.set_xlabel("labels")
    axes.set_ylabel(measure)
    count_labels(axes)
    return figure, axes
