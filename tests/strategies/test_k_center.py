from dataclasses import replace

import numpy as np
import pytest

from clipcache.errors import ArrayError
from clipcache.pool import Pool
from clipcache.strategies import k_center
from clipcache.strategies.k_center import KCenter
from tests.strategies.pools import NONE, pool_of, random_pool


def twin(pool: Pool, budget: int) -> list[int]:
    """Return the picks, with all distances of all pairs in front of it."""
    x = pool.features.astype(np.float64)  # type: ignore[union-attr]
    apart = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    centers, chosen = pool.labeled.tolist(), []
    if not centers:
        middle = x[pool.sample.rows].mean(axis=0)
        far = ((x[pool.unlabeled] - middle) ** 2).sum(axis=1)
        chosen = [int(pool.unlabeled[far.argmin()])]
    while len(chosen) < budget:
        left = np.setdiff1d(pool.unlabeled, chosen)
        near = apart[np.ix_(left, centers + chosen)].min(axis=1)
        chosen.append(int(left[near.argmax()]))
    return chosen


def test_the_row_farthest_from_every_label_comes_first() -> None:
    places = np.float32([[0, 0], [1, 0], [10, 0], [0, 7], [9, 0], [1, 1]])
    pool = replace(
        pool_of(places), unlabeled=np.arange(1, 6), labeled=np.array([0]), labels=np.array([0])
    )
    rows = KCenter().select(pool, 5, rng=np.random.default_rng(0))
    assert rows.tolist() == [2, 3, 5, 1, 4]  # of 1 and 4, both at 1 from their centres, the lower


def test_without_labels_it_begins_in_the_middle() -> None:
    places = np.float32([[-4, 0], [4, 0], [0, 1], [0, -3], [0, 2]])
    rows = KCenter().select(pool_of(places), 3, rng=np.random.default_rng(0))
    assert rows.tolist() == [2, 0, 1]


@pytest.mark.parametrize("candidates", [1, 7, 2048])
@pytest.mark.parametrize("labeled", [True, False])
def test_same_rows_as_with_all_distances_at_hand(
    labeled: bool, candidates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(k_center, "CANDIDATES", candidates)
    monkeypatch.setattr(k_center, "TOGETHER", 9)
    pool = random_pool(300)
    if not labeled:
        pool = replace(pool, labeled=NONE, labels=NONE)
    rows = KCenter().select(pool, 60, rng=np.random.default_rng(0))
    assert rows.tolist() == twin(pool, 60)


def test_few_passes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    count = k_center.each_row
    monkeypatch.setattr(k_center, "each_row", lambda *both: passes.append(1) or count(*both))
    KCenter().select(random_pool(8000, 32), 50, rng=np.random.default_rng(0))
    assert len(passes) < 10


def test_rows_that_lie_apart_in_memory_are_read_where_they_are() -> None:
    pool = random_pool(300)
    apart = np.repeat(pool.features, 2, axis=1)[:, ::2]  # type: ignore[arg-type]
    expected = KCenter().select(pool, 20, rng=np.random.default_rng(0))
    rows = KCenter().select(replace(pool, features=apart), 20, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(rows, expected)


def test_a_row_that_is_not_a_number_is_named() -> None:
    places = np.float32([[0, 0], [1, 0], [np.nan, 0]])
    with pytest.raises(ArrayError, match="rows 2"):
        KCenter().select(pool_of(places), 1, rng=np.random.default_rng(0))
