"""The trials of an arm as learning curves, and what they say together."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from clipcache.comparison.plan import Arm, evaluation_name
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.trial import Trial
from clipcache.curves import Curve, on_common_labels
from clipcache.stats import Interval, bootstrap_interval, mean_interval

ENOUGH = 5
"""Seeds from which on the bootstrap is to be trusted."""


def curves_of(cache: CacheResults, arm: Arm, evaluation: str, metric: str) -> list[Curve]:
    """Return one curve a seed, all with the same label counts.

    A run that a rule stopped early keeps its head and asks for nothing more, so its curve goes on
    level over the labels that it had left: what it scored there is known, not guessed.
    """
    trials = cache.trials[arm.name]
    return on_common_labels([_curve(trial, arm, evaluation, metric) for trial in trials])


def _curve(trial: Trial, arm: Arm, evaluation: str, metric: str) -> Curve:
    labels = np.array(trial.labels, dtype=np.int64)
    values = np.array(trial.measured[evaluation][metric], dtype=np.float64)
    budget = labels[0] + arm.config.rounds * arm.config.batch
    if labels[-1] < budget:
        labels, values = np.append(labels, budget), np.append(values, values[-1])
    return Curve(labels, values)


def across_seeds(values: Sequence[float]) -> Interval:
    """Return the mean and its 95 % interval: bootstrapped, or Student's below five seeds."""
    return _across(tuple(map(float, values)))


@lru_cache(maxsize=4096)  # arms share their starts, plots and tables share the rest
def _across(values: tuple[float, ...]) -> Interval:
    return (bootstrap_interval if len(values) >= ENOUGH else mean_interval)(values)


def evaluations(results: Results) -> list[str]:
    """Return the names of what was measured on, the one with most images first."""
    sizes = results.plan.eval_sizes
    order = sorted(set(sizes), key=lambda size: float("-inf") if size is None else -size)
    return [evaluation_name(size) for size in order]
