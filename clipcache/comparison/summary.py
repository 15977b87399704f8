"""What each arm of a comparison reached, in a row of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clipcache.comparison.labels_saved import labels_saved
from clipcache.comparison.plan import Plan
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.trial import METRICS
from clipcache.comparison.trial_curves import across_seeds, curves_of, evaluations
from clipcache.curves import Curve, area, labels_to_reach, mean_curve, on_common_labels
from clipcache.errors import ArrayError
from clipcache.stats import Interval


@dataclass(frozen=True)
class Summary:
    """One metric of one arm: values in [0, 1], with 95 % intervals over seeds."""

    cache: str
    arm: str
    evaluation: str
    metric: str
    start: Interval
    final: Interval
    area: Interval
    """Mean height of the curve from `area_from` to `area_to` labels."""
    first_labels: int
    last_labels: float
    """Mean over seeds; rules may have stopped some of them early."""
    area_from: int
    area_to: int
    """The labels that all arms have on this cache; where there are none, those of this arm."""
    target: float | None = None
    """Of top-1 alone: the accuracy to reach, in [0, 1]."""
    labels_to_target: float | None = None
    """Labels at which the mean curve of top-1 gets to `target`; infinite where it never does."""
    labels_saved: Interval | None = None
    """How many times fewer labels than the baseline's the mean curve of top-1 needs to get to
    where the baseline ended; 0 where it never gets there, NaN ends below five seeds."""


def summarise(results: Results) -> list[Summary]:
    """Return a row for each cache, evaluation, metric and arm, in this order."""
    return [
        row
        for cache in results.caches
        for evaluation in evaluations(results)
        for metric in METRICS
        for row in _rows(results.plan, cache, evaluation, metric)
    ]


def _rows(plan: Plan, cache: CacheResults, evaluation: str, metric: str) -> list[Summary]:
    curves = {arm.name: curves_of(cache, arm, evaluation, metric) for arm in plan.arms}
    rows = []
    for (name, own), shared in zip(curves.items(), _shared(curves), strict=True):
        trials = cache.trials[name]
        ends = across_seeds([trial.labels[-1] for trial in trials])
        reached = _reached(plan, curves[plan.baseline], own) if metric == "top1" else ()
        rows.append(
            Summary(
                cache.name,
                name,
                evaluation,
                metric,
                across_seeds([curve.accuracy[0] for curve in own]),
                across_seeds([curve.accuracy[-1] for curve in own]),
                across_seeds([area(*curve) for curve in shared]),
                trials[0].labels[0],
                ends.mean,
                int(shared[0].labels[0]),
                int(shared[0].labels[-1]),
                *reached,
            )
        )
    return rows


def _shared(curves: dict[str, list[Curve]]) -> list[Sequence[Curve]]:
    """Return the curves of each arm over the labels that all of them have, if there are any."""
    try:
        common = on_common_labels([curve for own in curves.values() for curve in own])
    except ArrayError:
        return list(curves.values())
    ends = np.cumsum([len(own) for own in curves.values()])
    return [common[end - len(own) : end] for own, end in zip(curves.values(), ends, strict=True)]


def _reached(plan: Plan, baseline: list[Curve], own: list[Curve]) -> tuple[float, float, Interval]:
    target = plan.target
    if target is None:
        target = float(mean_curve(baseline).accuracy[-1])
    return target, labels_to_reach(*mean_curve(own), target), labels_saved(baseline, own)
