import numpy as np

from clipcache.strategies.random import Random
from tests.strategies.pools import pool_of, random_pool


def test_every_row_is_as_likely_and_every_place_in_the_batch_too() -> None:
    pool = pool_of(np.zeros((10, 2), dtype=np.float32))
    seeds = 4000
    picks = np.array([Random().select(pool, 3, rng=np.random.default_rng(s)) for s in range(seeds)])
    counts = np.array([np.bincount(place, minlength=10) for place in picks.T])
    # 30 counts, each binomial with 4,000 draws of 0.1 (sigma 19): 5 sigma by chance is 1 in 60,000.
    assert np.abs(counts - seeds / 10).max() < 5 * np.sqrt(seeds * 0.1 * 0.9)


def test_seeds_differ() -> None:
    pool = random_pool()
    a, b = (Random().select(pool, 20, rng=np.random.default_rng(s)).tolist() for s in (0, 1))
    assert set(a) != set(b)


def test_the_head_is_never_asked() -> None:
    pool = random_pool()
    object.__setattr__(pool, "head", None)
    assert len(Random().select(pool, 20, rng=np.random.default_rng(0))) == 20
