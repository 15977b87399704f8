from dataclasses import replace

import numpy as np
import pytest

from clipcache.arrays import Vectors
from clipcache.errors import ArrayError
from clipcache.heads.base import LinearWeights
from clipcache.pool import Pool
from clipcache.strategies import drop_query
from clipcache.strategies.drop_query import DropQuery
from clipcache.whitening import PoolSample
from tests.strategies.pools import NONE, pool_of, random_pool

D = 64


def torn_pool(kinds: Vectors, sure: int) -> Pool:
    """Return a pool of rows that hang on two dimensions, and of some that hang on all others.

    `kinds` : (m, D), added to the former; dimension 0 says one class, dimension 1 the other.
    """
    torn = kinds.copy()
    torn[:, 0], torn[:, 1] = 10.0, 9.0
    steady = np.ones((sure, D))
    features = np.vstack([steady, torn]).astype(np.float16)
    weight = np.zeros((D, 2), dtype=np.float32)
    weight[0, 0], weight[1, 1] = 1.0, 1.0
    weight[2:, 0] = 0.1
    head = LinearWeights(weight, np.float32([0, -1]))
    rows = np.arange(len(features))
    return Pool(features, head, rows, NONE, NONE, PoolSample(features, rows))


def test_rows_that_hang_on_one_dimension_come_before_steady_ones() -> None:
    pool = torn_pool(np.zeros((400, D)), sure=400)
    rows = DropQuery().select(pool, 5, rng=np.random.default_rng(0))
    assert (rows >= 400).all()


def test_each_kind_of_candidates_gives_one() -> None:
    kinds = np.zeros((300, D), dtype=np.float32)
    for kind in range(3):  # in dimensions that no class depends on
        kinds[100 * kind : 100 * (kind + 1), 2 + 2 * kind] = 8.0
        kinds[100 * kind : 100 * (kind + 1), 3 + 2 * kind] = 8.0
    pool = torn_pool(kinds, sure=100)
    pool.head.weight[2:8] = 0.0  # type: ignore[attr-defined]
    rows = DropQuery().select(pool, 3, rng=np.random.default_rng(0))
    assert sorted(((rows - 100) // 100).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("copies", [1, 3, 4])
def test_a_row_is_a_candidate_where_more_than_half_of_its_copies_change(copies: int) -> None:
    # With one dimension left in 64, a copy of a row that has two is taken for class 1 only where
    # it keeps the second and loses the first: in 3/16 of all copies.
    pool = torn_pool(np.zeros((20_000, D)), sure=1)
    found = DropQuery(copies=copies)._candidates(pool, np.random.default_rng(0))
    p = 3 / 16
    chance = {1: p, 3: 3 * p**2 * (1 - p) + p**3, 4: 4 * p**3 * (1 - p) + p**4}[copies]
    assert abs(len(found) - 20_000 * chance) < 5 * np.sqrt(20_000 * chance)


def test_rows_that_are_the_same_have_masks_of_their_own() -> None:
    pool = torn_pool(np.zeros((400, D)), sure=1)
    candidates = DropQuery()._candidates(pool, np.random.default_rng(0))
    assert 0 < len(candidates) < 400


def test_where_nothing_changes_the_smallest_margins_are_taken() -> None:
    logits = np.zeros((6, 1))
    assert DropQuery().select(pool_of(logits), 3, rng=np.random.default_rng(0)).tolist() == [
        0,
        1,
        2,
    ]
    logits = np.float32([[9, 0], [0, 0], [8, 0]])  # a missing dimension changes no winner
    assert DropQuery().select(pool_of(logits), 1, rng=np.random.default_rng(0)).tolist() == [1]


def test_too_few_candidates_come_first() -> None:
    pool = torn_pool(np.zeros((50, D)), sure=50)
    candidates = DropQuery()._candidates(pool, np.random.default_rng(4))
    rows = DropQuery().select(pool, 60, rng=np.random.default_rng(4))
    assert rows[: len(candidates)].tolist() == candidates.tolist()
    assert len(set(rows.tolist())) == 60


def test_too_many_candidates_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    kmeans = drop_query.kmeans
    monkeypatch.setattr(
        drop_query, "kmeans", lambda x, k, *, rng: seen.append(len(x)) or kmeans(x, k, rng=rng)
    )
    rows = DropQuery().select(
        torn_pool(np.zeros((4000, D)), sure=1), 3, rng=np.random.default_rng(0)
    )
    assert seen == [3 * drop_query.EACH]
    assert len(set(rows.tolist())) == 3


def test_a_row_that_is_not_a_number_is_named() -> None:
    pool = random_pool()
    pool = replace(pool, unlabeled=np.arange(len(pool.features)))
    with pytest.raises(ArrayError, match="is not a number"):
        DropQuery().select(pool, 1, rng=np.random.default_rng(0))
