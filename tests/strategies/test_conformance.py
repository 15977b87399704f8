"""What every strategy promises; a new file in clipcache/strategies is tested by existing."""

import random
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import numpy as np
import pytest

from clipcache import features, projection, registry
from clipcache import pool as pools
from clipcache.arrays import Logits, RowIds
from clipcache.errors import ArrayError
from clipcache.pool import Pool
from clipcache.strategies import base
from clipcache.strategies.base import Strategy
from tests.strategies.pools import HARD, pool_of, random_pool, with_labels

BUDGET = 20


@pytest.fixture(params=registry.names("strategies"))
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return registry.load("strategies", request.param)()


@pytest.fixture
def pool() -> Pool:
    return random_pool()


def select(strategy: Strategy, pool: Pool, budget: int = BUDGET, seed: int = 3) -> RowIds:
    return strategy.select(pool, budget, rng=np.random.default_rng(seed))


def test_is_a_frozen_dataclass_with_defaults(strategy: Strategy) -> None:
    assert is_dataclass(strategy)
    assert type(strategy)() == strategy
    with pytest.raises(FrozenInstanceError):
        strategy.other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("budget", [1, 2, BUDGET])
def test_distinct_unlabelled_rows_as_many_as_asked(
    strategy: Strategy, pool: Pool, budget: int
) -> None:
    rows = select(strategy, pool, budget)
    assert rows.dtype == np.int64
    assert rows.shape == (budget,)
    assert len(np.unique(rows)) == budget
    assert np.isin(rows, pool.unlabeled).all()


def test_whole_pool_can_be_asked_for(strategy: Strategy, pool: Pool) -> None:
    rows = select(strategy, pool, len(pool.unlabeled))
    np.testing.assert_array_equal(np.sort(rows), pool.unlabeled)


@pytest.mark.parametrize("budget", [0, -1, 100_000])
def test_budget_that_cannot_be_met_is_an_error(strategy: Strategy, pool: Pool, budget: int) -> None:
    with pytest.raises(ArrayError, match=rf"{budget} .*{len(pool.unlabeled)}"):
        select(strategy, pool, budget)


def test_budget_one_too_large_is_an_error(strategy: Strategy, pool: Pool) -> None:
    with pytest.raises(ArrayError):
        select(strategy, pool, len(pool.unlabeled) + 1)


def test_same_seed_same_rows_whatever_the_global_generators_say(
    strategy: Strategy, pool: Pool
) -> None:
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first = select(strategy, pool)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    np.testing.assert_array_equal(select(strategy, pool), first)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert random.getstate() == before[1]


def test_block_size_does_not_matter(
    strategy: Strategy, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = select(strategy, pool)
    monkeypatch.setattr(projection, "BLOCK", 7)
    monkeypatch.setattr(projection, "LEAST", 1)
    monkeypatch.setattr(projection, "EXACT", 3)
    monkeypatch.setattr(features, "SEGMENT", 30)
    monkeypatch.setattr(pools, "PART", 7)
    monkeypatch.setattr(base, "PART", 7)
    np.testing.assert_array_equal(select(strategy, pool), expected)


@pytest.mark.parametrize("known", [[], [0, 1, 2]], ids=["no labels", "three labels"])
@pytest.mark.parametrize("logits", HARD.values(), ids=HARD)
def test_hard_pools_are_pools(strategy: Strategy, logits: Logits, known: list[int]) -> None:
    pool = with_labels(pool_of(logits), known)  # most classes have none
    for budget in {1, 9, min(len(pool.unlabeled), 200)}:
        rows = select(strategy, pool, budget)
        assert rows.dtype == np.int64
        assert len(rows) == len(np.unique(rows)) == budget
        assert np.isin(rows, pool.unlabeled).all()
        np.testing.assert_array_equal(select(strategy, pool, budget), rows)


def test_only_the_restricted_rows_can_be_chosen(strategy: Strategy, pool: Pool) -> None:
    inside = pool.unlabeled[::3]
    rows = select(strategy, pool.restrict(inside))
    assert np.isin(rows, inside).all()
    same = replace(pool, unlabeled=inside)
    np.testing.assert_array_equal(rows, select(strategy, same))


def test_inputs_are_untouched(strategy: Strategy, pool: Pool) -> None:
    # The arrays of the pool are read-only; this finds writers that lift that.
    before = {f.name: np.copy(getattr(pool, f.name)) for f in fields(pool) if f.name != "clock"}
    select(strategy, pool)
    for name in ("features", "unlabeled", "labeled", "labels"):
        np.testing.assert_array_equal(getattr(pool, name), before[name])


def test_a_pool_is_frozen_and_holds_no_true_labels(pool: Pool) -> None:
    names = {f.name for f in fields(Pool)}
    assert names == {"features", "head", "unlabeled", "labeled", "labels", "sample", "clock"}
    assert len(pool.labels) == len(pool.labeled) < len(pool.features)
    with pytest.raises(FrozenInstanceError):
        pool.unlabeled = pool.labeled  # type: ignore[misc]
