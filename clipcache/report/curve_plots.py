"""Learning curves: every run of each arm, and all arms over each other."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from clipcache.arrays import Float64
from clipcache.comparison.trial_curves import across_seeds
from clipcache.curves import Curve
from clipcache.report.arm_style import Style
from clipcache.report.pictures import count_labels, panels, single

LINE = 0.17
"""Inches from one line of text to the next."""
MANY = 6
"""Arms from which on bands are drawn so faint that they can lie over each other."""


class Band(NamedTuple):
    """The mean over seeds at each label count, with its 95 % interval, in percent."""

    labels: Float64
    mean: Float64
    low: Float64
    high: Float64


def band(curves: Sequence[Curve], *, since_start: bool = False) -> Band:
    """Return the mean of one arm's curves, or of what they gained since their own start."""
    values = 100 * np.array([curve.accuracy for curve in curves])  # (n, r)
    if since_start:
        values = values - values[:, :1]
    found = np.array([across_seeds(column) for column in values.T.tolist()])
    return Band(curves[0].labels.astype(np.float64), *found.T)


def every_run(
    runs: Mapping[str, Sequence[Curve]], looks: Mapping[str, Style], baseline: str
) -> Figure:
    """Return one panel an arm: thin lines are its runs, the thick one their mean.

    The baseline's mean is dashed in each of the others.
    """
    figure, every = panels(len(runs), 3, 2.4)
    bands = {name: band(curves) for name, curves in runs.items()}
    for axes, (name, curves) in zip(every, runs.items(), strict=True):
        for curve in curves:
            axes.plot(curve.labels, 100 * curve.accuracy, color="#9a9a9a", lw=0.6, alpha=0.8)
        if name != baseline:
            against = bands[baseline]
            axes.plot(against.labels, against.mean, color="#1c1c1c", lw=1.2, ls=(0, (3, 2)))
        _draw(axes, bands[name], looks[name]._replace(dash="solid"), alpha=0.25, width=2.4)
        axes.set_title(name)
        count_labels(axes)
    figure.supxlabel("labels", fontsize=9)
    figure.supylabel("top-1 on test images, %", fontsize=9)
    return figure


def overlay(bands: Mapping[str, Band], looks: Mapping[str, Style], measure: str) -> Figure:
    """Return the means of all arms over each other; each is named where it ends."""
    height = max(4.6, 0.24 * len(bands) + 1)
    figure, axes = single(height)
    alpha = 0.15 if len(bands) <= MANY else 0.06
    for name, values in bands.items():
        _draw(axes, values, looks[name], alpha=alpha, width=1.8)
    axes.set_xlabel("labels")
    axes.set_ylabel(measure)
    count_labels(axes)
    _name_ends(axes, bands, looks, height - 0.7)
    return figure


def _draw(axes: Axes, values: Band, look: Style, *, alpha: float, width: float) -> None:
    labels, mean, low, high = values
    marker = look.marker if len(labels) <= 30 else ""
    axes.plot(labels, mean, color=look.color, ls=look.dash, lw=width, marker=marker, ms=3.5)
    axes.fill_between(labels, low, high, color=look.color, alpha=alpha, lw=0)


def _name_ends(
    axes: Axes, bands: Mapping[str, Band], looks: Mapping[str, Style], height: float
) -> None:
    """Write each arm's name right of its end, moved up or down so that none covers another.

    `height` is that of the axes, in inches.
    """
    names = sorted(bands, key=lambda name: float(bands[name].mean[-1]))
    ends = np.array([bands[name].mean[-1] for name in names])
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    left, right = axes.get_xlim()
    gap = (high - low) * LINE / height
    steps = gap * np.arange(len(names))
    places = isotonic_regression(ends - steps).x + steps
    places += max(0.0, low - places[0]) - max(0.0, places[-1] - high)
    axes.set_xlim(left, right)
    beside = right + 0.03 * (right - left)
    for name, end, place in zip(names, ends.tolist(), places.tolist(), strict=True):
        look = looks[name]
        last = float(bands[name].labels[-1])
        line = ([last, right, beside], [end, end, place])
        axes.plot(*line, color=look.color, lw=0.7, ls=look.dash, alpha=0.7, clip_on=False)
        axes.text(
            beside + 0.005 * (right - left), place, name, color=look.color, va="center", ha="left"
        )
