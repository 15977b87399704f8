"""Comparisons whose outcome is known, because every curve in them is written down."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from clipcache.comparison.plan import Arm, Plan
from clipcache.comparison.pool_map import PoolMap
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.trial import METRICS, Trial
from clipcache.comparison.trial_curves import _across
from clipcache.run_config import RunConfig

FIRST, BATCH = 20, 10
CONFIG = RunConfig(strategy="margin", head="linear", init="random:20", batch=BATCH)
RANDOM = replace(CONFIG, strategy="random")
Heights = Mapping[str, Sequence[Sequence[float]]]
"""Arm -> seed -> accuracy in each round."""


@contextmanager
def few_resamples() -> Iterator[None]:
    """Draw intervals roughly in here: what is asked of them does not depend on the third digit.

    Still enough for the exact test of eight seeds, which has 256 flips.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipcache.stats.RESAMPLES", 499)
        patch.setattr("clipcache.comparison.labels_saved.RESAMPLES", 99)
        yield
    _across.cache_clear()  # nobody else is to meet the rough ones


def trial(heights: Sequence[float], first: int = FIRST, **others: float) -> Trial:
    """Return a run that measured the same in all metrics and evaluations, but for `others`."""
    values = {name: tuple(others.get(name, h) for h in heights) for name in METRICS}
    labels = tuple(first + BATCH * number for number in range(len(heights)))
    batches = ((0,) * first, *[(0,) * BATCH] * (len(heights) - 1))
    return Trial(
        labels=labels,
        seconds=(0.5,) * len(heights),
        batches=batches,
        measured={"all": values, "200": values},
        stopped="its rounds are used up",
    )


def cache(name: str, trials: Mapping[str, Sequence[Trial]], classes: int = 3) -> CacheResults:
    """Return trials on a cache of which nothing else matters."""
    spots = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    places = PoolMap(spots, np.arange(30) % classes, {arm: spots[:5] for arm in trials})
    names = tuple(f"class {index}" for index in range(classes))
    counts = (30 // classes,) * classes
    return CacheResults(
        name, 30, 12, names, counts, {arm: tuple(runs) for arm, runs in trials.items()}, places
    )


def compared(
    heights: Heights | Mapping[str, Heights],
    configs: Mapping[str, RunConfig] | None = None,
    **options: object,
) -> Results:
    """Return the results of arms with these curves, on one cache or on several by name.

    The last arm is the baseline. `configs` are of the arms that do not choose by margin.
    """
    first = next(iter(heights.values()))
    by_cache = heights if isinstance(first, Mapping) else {"photos": heights}
    runs = next(iter(by_cache.values()))
    names = list(runs)
    rounds = len(runs[names[0]][0]) - 1
    arms = tuple(
        Arm(name, replace((configs or {}).get(name, CONFIG), rounds=rounds)) for name in names
    )
    plan = Plan(arms, baseline=names[-1], seeds=len(runs[names[0]]))
    return Results(
        replace(plan, **options),
        tuple(
            cache(where, {name: [trial(h) for h in own] for name, own in found.items()})
            for where, found in by_cache.items()
        ),
    )
