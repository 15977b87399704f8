"""Intervals and tests for means over seeds, and what may be said of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import bootstrap, norm
from scipy.stats import t as student

from clipcache.arrays import Float64
from clipcache.errors import ArrayError

RESAMPLES = 9999


class Interval(NamedTuple):
    """A mean and its confidence interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean and Student's interval for it.

    Assumes independent, roughly normal values. With one value the interval is unknown: its ends
    are NaN.

    >>> [round(x, 2) for x in mean_interval([1.0, 2.0, 3.0])]
    [2.0, -0.48, 4.48]
    """
    mean = float(np.mean(values))
    n = len(values)
    if n < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(student.ppf(0.5 + confidence / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def bootstrap_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the mean and its expanded percentile bootstrap interval, which may be lopsided.

    The plain percentile interval is too narrow for few values: by sqrt((n - 1) / n), and by the
    normal quantile where Student's belongs. The percentiles taken here lie further out, by just
    that (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", "expanded percentile").
    How many % of 4,000 simulated 95 % intervals held the true mean of normal / exponential values:

    ==  ===========  ===========  ===========  =============
    n   percentile   BCa          this one     mean_interval
    ==  ===========  ===========  ===========  =============
    5   84.8 / 77.5  84.6 / 79.4  92.8 / 86.5  95.5 / 87.4
    10  90.4 / 86.2  89.8 / 87.3  94.6 / 90.6  94.9 / 89.6
    ==  ===========  ===========  ===========  =============

    No percentile lies past the values themselves: with 3 of them this one held 75 / 69 %, so
    take mean_interval below 5. With one value the ends are NaN. The same values in any order give
    the same interval. Raises ArrayError where a value is not finite.

    >>> [round(x, 2) for x in bootstrap_interval([1.0, 1.1, 1.2, 1.3, 3.0])]
    [1.52, 1.02, 2.66]
    """
    ordered = np.sort(_finite(values))
    mean, n = float(np.mean(ordered)), len(ordered)
    if n < 2:
        return Interval(mean, float("nan"), float("nan"))
    tail = expanded_tail(n, confidence)
    found = bootstrap(
        (ordered,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def expanded_tail(n: int, confidence: float = 0.95) -> float:
    """Return the share of draws of `n` > 1 values to leave out at each end of an interval.

    Less than (1 - confidence) / 2, as `bootstrap_interval` says.
    """
    return float(norm.cdf(-np.sqrt(n / (n - 1)) * student.ppf(0.5 + confidence / 2, n - 1)))


def paired_test(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the two-sided p-value of the sign-flip test that pairs differ by nothing on average.

    Assumes that, were there no effect, each difference could as well have had the other sign; of
    exponential differences around a mean of 0, 10 pairs gave 10 % false alarms at 0.05, not 5 %.
    Up to 13 pairs all 2^n flips are tried, so that p is never below 2 / 2^n: 5 pairs give 0.0625 at
    best, and 0.05 needs 6 of them. Beyond, 9,999 random ones and the observed one are. Sums closer
    than n 2^-40 (n 1e-12) of the largest value count as ties.

    Parameters
    ----------
    a, b : one value a seed, the same seeds in the same order.

    Raises ArrayError where they are not as many, none, or not finite.

    >>> paired_test([0.51, 0.52, 0.53, 0.54], [0.50, 0.50, 0.50, 0.50])
    0.125
    """
    if len(a) != len(b):
        raise ArrayError(f"pairs need as many values on both sides, found {len(a)} and {len(b)}")
    one, other = _finite(a), _finite(b)
    differences = one - other
    # Upwards and in order, so that neither the side nor the order of the seeds can matter.
    ordered = np.sort(differences * np.sign(differences.sum()))
    sums = _flips(len(ordered)) @ ordered
    # Flips that tie with the observed must count, however float64 rounds their sums. Up to a
    # thousand pairs rounding stays below this, even where the values are off by 2^-43 themselves.
    rounding = len(ordered) * 2**-40 * max(np.abs(one).max(), np.abs(other).max())
    return float(np.mean(np.abs(sums) >= ordered.sum() - rounding))


def _flips(n: int) -> Float64:
    """Return (f, n) signs: all there are, or `RESAMPLES` random ones; the first flips nothing."""
    if 2**n <= RESAMPLES:
        return (1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)).astype(np.float64)
    random = np.random.default_rng(0).choice((-1.0, 1.0), size=(RESAMPLES, n))
    return np.vstack([np.ones(n), random])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several, in the order given.

    Rejecting those up to 0.05 makes one false claim or more in at most 5 % of such families,
    however they depend on each other (Holm 1979, "A Simple Sequentially Rejective Multiple Test
    Procedure"). Raises ArrayError for what is no p-value.

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    p = np.array(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ArrayError(f"p-values lie in [0, 1], found {p.tolist()}")
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(x) for x in adjusted]


def verdict(
    one: str,
    other: str,
    gain: Interval,
    measure: str = "points of top-1",
    adjusted_p: float | None = None,
) -> str:
    """Return in a sentence what the paired differences allow to be said, and no more.

    A difference is claimed only where the interval excludes 0 and, if there is one, the adjusted
    p-value is at most 0.05.

    Parameters
    ----------
    gain : the mean of `one` minus `other` over seeds, with its 95 % interval.
    measure : the unit of `gain`, and of what it is taken.

    >>> verdict("Margin", "random", Interval(2.0, 0.5, 3.5), adjusted_p=0.012)
    'Margin beat random: +2.0 points of top-1 (95 % interval +0.5 to +3.5, adjusted p 0.012).'
    >>> verdict("A", "B", Interval(0.2, -0.5, 0.9), "points")
    'A against B: no difference could be shown, +0.2 points (95 % interval -0.5 to +0.9).'
    """
    measured = f"{gain.mean:+.1f} {measure}"
    if np.isnan(gain.low):
        return f"{one} against {other}: {measured}; one seed shows no more than that."
    p = "" if adjusted_p is None else f", adjusted p {adjusted_p:.3g}"
    measured += f" (95 % interval {gain.low:+.1f} to {gain.high:+.1f}{p})"
    shown = adjusted_p is None or adjusted_p <= 0.05
    if shown and gain.low > 0:
        return f"{one} beat {other}: {measured}."
    if shown and gain.high < 0:
        return f"{one} did worse than {other}: {measured}."
    return f"{one} against {other}: no difference could be shown, {measured}."


def _finite(values: Sequence[float]) -> Float64:
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ArrayError(f"expected a list of one finite value a seed, found {array.tolist()}")
    return array
