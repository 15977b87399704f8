"""Learning curves as pictures."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clipcache.labels import Round
from clipcache.stats import mean_interval

COLORS = ("#0072b2", "#d55e00", "#666666", "#009e73", "#cc79a7")
"""Okabe and Ito's palette: told apart with any colour vision."""


def save_learning_curve(rounds: Sequence[Round], path: Path, title: str) -> None:
    """Write top-1 and top-5 accuracy against the number of labels as a PNG."""
    figure, axes = _figure("labels", "accuracy on test images, %")
    labels = [r.labels for r in rounds]
    for name, values, color in (
        ("top-5", [100 * r.top5 for r in rounds], COLORS[1]),
        ("top-1", [100 * r.top1 for r in rounds], COLORS[0]),
    ):
        axes.plot(labels, values, "o-", ms=4, color=color, label=name)
    axes.set_title(title, loc="left", fontsize=11)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150)


def learning_curves_svg(arms: Mapping[str, Sequence[Sequence[Round]]]) -> str:
    """Return an SVG with one line an arm: mean top-1 over its runs and the 95 % interval.

    All runs of all arms must have been evaluated at the same numbers of labels.
    """
    figure, axes = _figure("labels", "top-1 accuracy on test images, %")
    for (name, runs), color in zip(arms.items(), COLORS, strict=False):
        labels = [r.labels for r in runs[0]]
        at_each = [mean_interval([100 * r.top1 for r in same]) for same in zip(*runs, strict=True)]
        axes.plot(labels, [i.mean for i in at_each], "o-", ms=4, color=color, label=name)
        low, high = [i.low for i in at_each], [i.high for i in at_each]
        axes.fill_between(labels, low, high, color=color, alpha=0.15, lw=0)
    axes.legend(frameon=False, loc="lower right")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "clipcache"}):
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()[out.getvalue().index("<svg") :]


def _figure(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e5e5e5")
    return figure, axes
