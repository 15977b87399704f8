from dataclasses import replace

import numpy as np
import pytest

from clipcache.arrays import Vectors
from clipcache.errors import ArrayError
from clipcache.pool import Pool
from clipcache.strategies import typiclust
from clipcache.strategies.typiclust import TypiClust
from clipcache.typicality import typicality
from clipcache.whitening import PoolSample
from tests.chunked import InChunks
from tests.strategies.pools import pool_of


def clouds() -> Vectors:
    """Return rows around two directions, 30 and then 50 of them."""
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(2, 6), [30, 50], axis=0)
    return (x + 0.05 * rng.standard_normal(x.shape)).astype(np.float32)


def select(pool: Pool, budget: int, seed: int = 0) -> list[int]:
    rows = TypiClust().select(pool, budget, rng=np.random.default_rng(seed))
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == budget
    return rows.tolist()


def test_the_most_typical_row_of_each_cloud_the_largest_cloud_first() -> None:
    pool = pool_of(clouds())
    x = pool.whitened(pool.unlabeled)
    assert select(pool, 2) == [30 + int(typicality(x[30:]).argmax()), typicality(x[:30]).argmax()]


def test_a_cloud_with_a_label_comes_last() -> None:
    pool = pool_of(clouds())
    part = replace(pool, unlabeled=np.delete(pool.unlabeled, 40), labeled=np.array([40]))
    (row,) = select(part, 1)
    assert row < 30


def test_the_head_is_never_asked() -> None:
    pool = pool_of(clouds())
    object.__setattr__(pool, "head", None)
    assert len(select(pool, 5)) == 5


def test_larger_pools_are_sampled_unless_the_batch_is_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(typiclust, "ROWS", 30)
    pool = pool_of(clouds())
    seen = {row for seed in range(5) for row in select(pool, 2, seed)}
    assert len(seen) > 4  # without the sample, the seeds agree on two rows
    assert len(select(pool, 60)) == 60
    assert sorted(select(pool, 80)) == list(range(80))


def test_rows_on_disk_give_the_same() -> None:
    pool = pool_of(clouds())
    assert isinstance(pool.features, np.ndarray)
    stored = InChunks(pool.features, 11)
    assert select(replace(pool, features=stored), 10) == select(pool, 10)


def test_a_row_that_is_not_finite_is_named() -> None:
    x = clouds().astype(np.float16)
    x[17] = np.nan
    pool = replace(pool_of(x), sample=PoolSample(x, np.arange(80)))
    with pytest.raises(ArrayError, match="17"):
        select(pool, 3)
