from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.arrays import RowIds, Vectors
from clipcache.errors import ArrayError
from clipcache.pool import Pool
from clipcache.strategies import prob_cover
from clipcache.strategies.prob_cover import ProbCover, cover, pure_radius
from tests.strategies.pools import pool_of

Inside = npt.NDArray[np.bool_]


def distances(x: Vectors) -> npt.NDArray[np.float64]:
    """Return what every row is away from every other, in float64."""
    return np.sqrt(((x[:, None].astype(np.float64) - x) ** 2).sum(axis=2))


def cover_twin(x: Vectors, covered: Inside, radius: float, budget: int) -> list[int]:
    """Return the greedy choice by counting anew for each turn and each ball."""
    inside = (distances(x) < radius) | np.eye(len(x), dtype=np.bool_)
    covered, chosen = covered.copy(), []
    for _ in range(budget):
        gains = [-1 if i in chosen else int((inside[i] & ~covered).sum()) for i in range(len(x))]
        chosen.append(int(np.argmax(gains)))
        covered |= inside[chosen[-1]]
    return chosen


def purity_twin(x: Vectors, cluster: RowIds, radius: float) -> float:
    """Return the share of balls in which all rows are of one cluster."""
    inside = distances(x) < radius
    return float(np.mean([len(set(cluster[row].tolist())) <= 1 for row in inside]))


def grid(n: int, seed: int) -> Vectors:
    """Return whole numbers: their distances are exact, in float32 as in float64."""
    return np.random.default_rng(seed).integers(0, 6, (n, 2)).astype(np.float32)


def select(pool: Pool, budget: int, seed: int = 0) -> list[int]:
    rows = ProbCover().select(pool, budget, rng=np.random.default_rng(seed))
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == budget
    return rows.tolist()


@given(st.integers(1, 40), st.integers(0, 999), st.sampled_from([0.0, 0.5, 1.5, 2.1, np.inf]))
def test_cover_is_that_of_its_twin(n: int, seed: int, radius: float) -> None:
    x = grid(n, seed)
    covered = np.random.default_rng(seed).random(n) < 0.2
    before = covered.copy()
    assert cover(x, covered, radius, n).tolist() == cover_twin(x, covered, radius, n)
    np.testing.assert_array_equal(covered, before)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_the_last_rows_can_be_centres_whatever_the_blocks(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The authors' code leaves out what a whole number of blocks does not reach.
    monkeypatch.setattr(prob_cover, "BLOCK", block)
    scattered = 10 * np.arange(50)
    dense = np.array([-22, -18, -22, -18, -20])  # only the last one reaches all others
    x = np.concatenate([scattered, dense])[:, None].astype(np.float32)
    assert cover(x, np.zeros(55, dtype=np.bool_), 3.0, 2).tolist() == [54, 0]


@pytest.mark.parametrize("purity", [0.5, 0.8, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("block", [3, 1024])
def test_radius_is_the_largest_that_is_pure_enough(
    purity: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prob_cover, "BLOCK", block)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3)).astype(np.float32)
    cluster = rng.integers(0, 3, 60)
    radius = pure_radius(x, cluster, purity)
    assert purity_twin(x, cluster, radius * (1 - 1e-5)) >= purity
    assert purity_twin(x, cluster, radius * (1 + 1e-5)) < purity


def test_one_cluster_has_no_border() -> None:
    x = np.zeros((9, 2), dtype=np.float32)
    assert pure_radius(x, np.zeros(9, dtype=np.int64), 0.95) == np.inf


def test_purity_is_measured_on_some_balls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prob_cover, "PROBES", 2)
    x = np.array([0, 4, 10, 11], dtype=np.float32)[:, None]
    assert pure_radius(x, np.array([0, 0, 1, 0]), 1.0) == pytest.approx(6)


def clouds() -> Vectors:
    """Return rows around three directions: 20, 40 and 30 of them, one after the other."""
    rng = np.random.default_rng(0)
    x = np.repeat(np.eye(3), [20, 40, 30], axis=0)
    return (x + 0.02 * rng.standard_normal(x.shape)).astype(np.float32)


def cloud_of(rows: list[int]) -> list[int]:
    return np.searchsorted([20, 60], rows, side="right").tolist()


def test_one_row_of_each_cloud_the_largest_cloud_first() -> None:
    assert cloud_of(select(pool_of(clouds()), 3)) == [1, 2, 0]


def test_what_known_rows_cover_is_not_asked_again() -> None:
    pool = pool_of(clouds())
    labeled = np.array([30, 70])
    part = replace(pool, unlabeled=np.setdiff1d(pool.unlabeled, labeled), labeled=labeled)
    assert cloud_of(select(part, 1)) == [0]


def test_the_rest_is_random_once_all_is_covered() -> None:
    pool = pool_of(clouds())
    first, second = select(pool, 40, 1), select(pool, 40, 2)
    assert cloud_of(first[:3]) == cloud_of(second[:3]) == [1, 2, 0]
    assert set(first[3:]) != set(second[3:])
    assert sorted(select(pool, 90)) == list(range(90))


def test_larger_pools_are_sampled_and_larger_batches_filled_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prob_cover, "ROWS", 30)
    pool = pool_of(clouds())
    assert cloud_of(select(pool, 3)) == [1, 2, 0]
    for budget in (29, 30, 31, 90):
        select(pool, budget)


def test_a_row_that_is_not_finite_is_named() -> None:
    x = clouds().astype(np.float16)
    x[17] = np.nan
    with pytest.raises(ArrayError, match="17"):
        select(pool_of(x), 3)
