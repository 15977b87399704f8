from dataclasses import replace

import numpy as np
import pytest

from clipcache.arrays import Logits
from clipcache.errors import ArrayError
from clipcache.pool import Pool
from clipcache.strategies import seals
from clipcache.strategies.diverse_margin import DiverseMargin
from clipcache.strategies.seals import Seals
from tests.chunked import InChunks
from tests.strategies.pools import pool_of, random_pool, with_labels


def select(pool: Pool, budget: int, neighbors: int = 100, seed: int = 0) -> list[int]:
    return Seals(neighbors).select(pool, budget, rng=np.random.default_rng(seed)).tolist()


def two_clouds() -> Logits:
    """Return forty rows around a certain answer, and as many around a doubtful one."""
    rng = np.random.default_rng(0)
    middles = np.repeat([[8.0, 0, 0], [0, 4, 4]], 40, axis=0)
    return (middles + 0.1 * rng.standard_normal(middles.shape)).astype(np.float32)


def test_only_neighbours_of_labels_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "LEAST", 1)
    pool = with_labels(pool_of(two_clouds()), [0])
    assert max(select(pool, 3, neighbors=40)) < 40  # though all margins of the others are smaller
    assert min(select(pool, 3, neighbors=80)) >= 40


def test_among_them_the_choice_is_that_of_diverse_margin() -> None:
    pool = with_labels(pool_of(two_clouds()), [0, 50])
    expected = DiverseMargin().select(pool, 5, rng=np.random.default_rng(0))
    assert select(pool, 5, neighbors=80) == expected.tolist()


def test_random_rows_join_where_neighbours_are_few() -> None:
    pool = with_labels(pool_of(two_clouds()), [0])
    rows = [select(pool, 4, neighbors=3, seed=seed) for seed in range(3)]
    assert all(max(chosen) >= 40 for chosen in rows)
    assert rows[0] != rows[1]


def test_labels_that_came_later_bring_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "LEAST", 1)
    pool = pool_of(two_clouds())
    assert max(select(with_labels(pool, [0]), 3, neighbors=40)) < 40
    assert min(select(with_labels(pool, [0, 60]), 3, neighbors=40)) >= 40


def test_rows_on_disk_give_the_same() -> None:
    pool = random_pool(2000)
    assert isinstance(pool.features, np.ndarray)
    stored = replace(pool, features=InChunks(pool.features, 77))
    assert select(stored, 20, neighbors=5) == select(pool, 20, neighbors=5)


def test_later_rounds_read_only_chunks_with_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seals, "LEAST", 1)
    pool = pool_of(two_clouds())
    features = InChunks(two_clouds().astype(np.float16), 4)
    pool = with_labels(replace(pool, features=features), [0])
    select(pool, 4, neighbors=40)
    features.reads.clear()
    select(pool, 4, neighbors=40)
    assert max(features.reads) < 40 / 4


def test_a_row_that_is_not_a_number_is_named() -> None:
    x = two_clouds()
    x[17] = np.nan
    with pytest.raises(ArrayError, match="rows 17"):
        select(pool_of(x), 3)
