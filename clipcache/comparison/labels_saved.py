"""How many times fewer labels an arm needs than the baseline, with an interval over seeds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clipcache.comparison.trial_curves import ENOUGH
from clipcache.curves import Curve, label_ratio, mean_curve
from clipcache.stats import Interval, expanded_tail

RESAMPLES = 999


def labels_saved(baseline: Sequence[Curve], curves: Sequence[Curve]) -> Interval:
    """Return the `label_ratio` of the mean curves, and where it lies as seeds are drawn again.

    Both arms get the same seeds each time, as they are paired. The percentiles lie further out than
    2.5 and 97.5 for few seeds, as in `stats.bootstrap_interval`; below five seeds the ends are NaN,
    and a lower end of 0 says that some of the draws never got to where the baseline ended.

    Parameters
    ----------
    baseline, curves : one curve a seed, the same seeds in the same order; each arm has the same
        label counts for all of its seeds.
    """
    ratio = label_ratio(mean_curve(baseline), mean_curve(curves))
    n = len(curves)
    if n < ENOUGH:
        return Interval(ratio, float("nan"), float("nan"))
    draws = np.random.default_rng(0).integers(n, size=(RESAMPLES, n))
    ratios = [
        label_ratio(*pair)
        for pair in zip(_means(baseline, draws), _means(curves, draws), strict=True)
    ]
    tail = 100 * expanded_tail(n)
    low, high = np.percentile(ratios, [tail, 100 - tail], method="closest_observation")
    return Interval(ratio, float(low), float(high))


def _means(curves: Sequence[Curve], draws: npt.NDArray[np.int64]) -> list[Curve]:
    accuracy = np.array([curve.accuracy for curve in curves])  # (n, r)
    return [Curve(curves[0].labels, mean) for mean in accuracy[draws].mean(axis=1)]
