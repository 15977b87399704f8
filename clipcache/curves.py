"""Learning curves: accuracy over the number of labels, with straight lines between the rounds."""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Float64
from clipcache.errors import ArrayError


class Curve(NamedTuple):
    """What one run measured, or the mean of several."""

    labels: npt.NDArray[np.int64]
    """(r,) labels that had been given, increasing."""
    accuracy: Float64
    """(r,) in [0, 1]."""


def area(labels: npt.ArrayLike, accuracy: npt.ArrayLike) -> float:
    """Return the mean height of the curve, in [0, 1]: its area over the range of labels.

    Trapezoids, so that rounds count by the labels they cost, whatever the batches. The area of a
    single point is its accuracy. Arguments and errors as `labels_to_reach`.

    >>> round(area([100, 200, 500], [0.2, 0.4, 0.4]), 3)
    0.375
    """
    x, y = _checked(labels, accuracy)
    if len(x) == 1:
        return float(y[0])
    return float(np.trapezoid(y, x) / (x[-1] - x[0]))


def labels_to_reach(labels: npt.ArrayLike, accuracy: npt.ArrayLike, target: float) -> float:
    """Return the number of labels at which the curve first reaches the target.

    It may fall below again afterwards. Infinite where the target is never reached; the first count
    where the curve begins there, although fewer labels might have done.

    Parameters
    ----------
    labels : (r,) int, 0 or more, increasing.
    accuracy : (r,) in [0, 1].
    target : in [0, 1].

    Raises ArrayError for anything else.

    >>> labels_to_reach([100, 200, 300], [0.3, 0.5, 0.7], 0.6)
    250.0
    """
    x, y = _checked(labels, accuracy)
    if not 0 <= target <= 1:
        raise ArrayError(f"the accuracy to reach lies in [0, 1], found {target}")
    if not (y >= target).any():
        return float("inf")
    after = int((y >= target).argmax())
    if after == 0:
        return float(x[0])
    before = after - 1
    share = (target - y[before]) / (y[after] - y[before])
    return float(x[before] + share * (x[after] - x[before]))


def label_ratio(baseline: Curve, curve: Curve) -> float:
    """Return how many times fewer labels `curve` needs for the baseline's final accuracy.

    Both are asked the same: where do you first reach it? For a baseline that still rises at its end
    that is its final count; labels that it spent on a plateau do not count for us, and a curve
    against itself gives 1. The ratio is 0 where `curve` never gets there, and rather too small
    where it begins there.

    Compare mean curves over seeds: a single run's final accuracy is a matter of luck, and luck at
    the end of a baseline moves the ratio a lot. Errors as `labels_to_reach`.

    >>> baseline = Curve(np.array([100, 350]), np.array([0.2, 0.7]))
    >>> label_ratio(baseline, Curve(np.array([50, 100, 150]), np.array([0.5, 0.7, 0.8])))
    3.5
    """
    final = float(_checked(*baseline).accuracy[-1])
    own, needed = labels_to_reach(*baseline, final), labels_to_reach(*curve, final)
    if own == needed:  # also where neither needs any
        return 1.0
    return own / needed if needed else float("inf")


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean over seeds, point by point.

    Raises ArrayError for no curves, and for ones whose label counts differ.
    """
    checked = _each_checked(curves)
    first = checked[0].labels
    for curve in checked[1:]:
        if not np.array_equal(curve.labels, first):
            raise ArrayError(
                f"a mean needs curves with the same label counts, found {first.tolist()} and "
                f"{curve.labels.tolist()}; use on_common_labels first"
            )
    return Curve(first, np.mean([curve.accuracy for curve in checked], axis=0))


def on_common_labels(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves where all of them run, each with all the label counts of any of them.

    No corner of a curve is cut: between the ends its area and its crossings stay what they were.
    Raises ArrayError for no curves, and where there is no label count that all of them pass.

    >>> early = Curve(np.array([10, 30]), np.array([0.1, 0.3]))
    >>> late = Curve(np.array([20, 40]), np.array([0.5, 0.7]))
    >>> for curve in on_common_labels([early, late]):
    ...     print(*curve)
    [20 30] [0.2 0.3]
    [20 30] [0.5 0.6]
    """
    checked = _each_checked(curves)
    first = max(curve.labels[0] for curve in checked)
    last = min(curve.labels[-1] for curve in checked)
    if first > last:
        raise ArrayError(
            f"curves must overlap to be compared, found one that begins at {first} labels and one "
            f"that ends at {last}"
        )
    every = reduce(np.union1d, [curve.labels for curve in checked])
    grid = every[(every >= first) & (every <= last)]
    return [Curve(grid, np.interp(grid, *curve)) for curve in checked]


def _each_checked(curves: Sequence[Curve]) -> list[Curve]:
    if not curves:
        raise ArrayError("expected at least one learning curve, found none")
    return [_checked(*curve) for curve in curves]


def _checked(labels: npt.ArrayLike, accuracy: npt.ArrayLike) -> Curve:
    x, y = np.asarray(labels), np.asarray(accuracy, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or not len(x):
        raise ArrayError(
            f"a learning curve has label counts and accuracies (r,), found {x.shape} and {y.shape}"
        )
    if x.dtype.kind not in "iu" or x[0] < 0 or (np.diff(x.astype(np.int64)) <= 0).any():
        raise ArrayError(f"label counts are whole numbers that increase, found {x.tolist()}")
    if not ((y >= 0) & (y <= 1)).all():
        raise ArrayError(f"accuracy lies in [0, 1], found {y.min()} to {y.max()}")
    return Curve(x.astype(np.int64), y)
