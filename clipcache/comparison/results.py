"""All trials of a comparison, as its report reads them."""

from dataclasses import dataclass

from clipcache.comparison.plan import Plan
from clipcache.comparison.pool_map import PoolMap
from clipcache.comparison.trial import Trial


@dataclass(frozen=True)
class CacheResults:
    """What was found on one cache."""

    name: str
    """Told apart by it; the cache's file name without .zarr."""
    pool: int
    """Labelled images that could be asked for."""
    test: int
    classes: tuple[str, ...]
    pool_counts: tuple[int, ...]
    """Images of each class in the pool, which say what is rare."""
    trials: dict[str, tuple[Trial, ...]]
    """Arm -> its trials, one a seed, seeds in order."""
    map: PoolMap


@dataclass(frozen=True)
class Results:
    """Everything that is compared."""

    plan: Plan
    caches: tuple[CacheResults, ...]
