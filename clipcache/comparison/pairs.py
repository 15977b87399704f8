"""Two arms held against each other, seed by seed, and what the difference allows to be said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipcache.comparison.plan import Arm
from clipcache.comparison.questions import Question
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.trial_curves import across_seeds, curves_of
from clipcache.curves import Curve, area, on_common_labels
from clipcache.errors import ArrayError
from clipcache.stats import Interval, holm, paired_test, verdict

EVERY_CACHE = "mean over caches"
SHOWN = 0.05
"""Adjusted p-values up to which a difference is claimed."""
MEASURES = {
    "top1": "points of top-1 on average over the curve",
    "tail_recall": "points of recall of the rarest third of classes",
    "head_recall": "points of recall of the commonest third of classes",
    "macro_recall": "points of macro recall",
}


@dataclass(frozen=True)
class Comparison:
    """The area under the curves of two arms, as far as both go."""

    question: str
    cache: str
    """Its name, or `EVERY_CACHE`."""
    evaluation: str
    metric: str
    one: str
    other: str
    gain: Interval
    """Of `one` over `other`, in percent points, with its 95 % interval over seeds."""
    p: float
    """Of the paired test that they are the same."""
    adjusted_p: float
    """By Holm, over the pairs of the question: those of all caches in one family, those of
    `EVERY_CACHE` in another; each evaluation and each metric for itself."""

    @property
    def measure(self) -> str:
        """The unit of the gain, and of what it is taken."""
        over = ", mean over caches" if self.cache == EVERY_CACHE else ""
        return MEASURES[self.metric] + over

    @property
    def words(self) -> str:
        """What the difference allows to be said."""
        return verdict(self.one, self.other, self.gain, self.measure, self.adjusted_p)

    @property
    def shown(self) -> bool:
        """Whether `words` claims a difference: adjusted p-value and interval must both show it."""
        return self.adjusted_p <= SHOWN and (self.gain.low > 0 or self.gain.high < 0)


def compare_pairs(results: Results, question: Question, evaluation: str) -> list[Comparison]:
    """Return the comparisons of one question, those over all caches last where there are several.

    Arms that share no label count on a cache are not compared there.
    """
    arms, metric = {arm.name: arm for arm in results.plan.arms}, question.metric
    gains = {
        (cache.name, pair): found
        for cache in results.caches
        for pair in question.pairs
        if (found := _gains(cache, arms[pair[0]], arms[pair[1]], evaluation, metric)) is not None
    }
    over = {
        (EVERY_CACHE, pair): np.mean([gains[cache.name, pair] for cache in results.caches], axis=0)
        for pair in question.pairs
        if len(results.caches) > 1 and all((c.name, pair) in gains for c in results.caches)
    }
    compared: list[Comparison] = []
    for family in (gains, over):
        p_values = [paired_test(x, [0.0] * len(x)) for x in family.values()]
        for (where, pair), p, adjusted in zip(family, p_values, holm(p_values), strict=True):
            gain = across_seeds(family[where, pair])
            compared.append(
                Comparison(question.name, where, evaluation, metric, *pair, gain, p, adjusted)
            )
    return compared


def _gains(
    cache: CacheResults, one: Arm, other: Arm, evaluation: str, metric: str
) -> Sequence[float] | None:
    """Return the difference of the areas in percent points for each seed, if they overlap."""
    mine, theirs = (curves_of(cache, arm, evaluation, metric) for arm in (one, other))
    try:
        pairs = [on_common_labels(pair) for pair in zip(mine, theirs, strict=True)]
    except ArrayError:  # one begins where the other has ended
        return None
    return [_area(a) - _area(b) for a, b in pairs]


def _area(curve: Curve) -> float:
    return 100 * area(*curve)
