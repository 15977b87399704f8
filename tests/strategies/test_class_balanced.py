from dataclasses import replace

import numpy as np
import pytest

from clipcache import registry
from clipcache.arrays import Labels
from clipcache.errors import RunError, UnknownNameError
from clipcache.pool import Pool
from clipcache.strategies.class_balanced import ClassBalanced, take_turns
from clipcache.strategies.margin import Margin
from tests.strategies.pools import pool_of, random_pool


def select(pool: Pool, budget: int, strategy: str = "margin", seed: int = 0) -> list[int]:
    rows = ClassBalanced(strategy).select(pool, budget, rng=np.random.default_rng(seed))
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == budget
    return rows.tolist()


def turns(labels: list[int], predicted: list[int], budget: int) -> list[int]:
    rng = np.random.default_rng(0)
    return take_turns(np.int64(labels), np.int64(predicted), budget, rng).tolist()


LOGITS = np.float32(
    [
        [9, 0, 0],  # 0, sure
        [2, 1, 0],  # 0
        [8, 0, 0],  # 0, sure
        [3, 2.5, 0],  # 0, the closest
        [0, 9, 8],  # 1, the only one
        [0, 1, 3],  # 2
        [0, 2, 3],  # 2, the closest
    ]
)


def test_each_predicted_class_gives_its_smallest_margin() -> None:
    pool = pool_of(LOGITS)
    assert sorted(select(pool, 3)) == [3, 4, 6]
    assert sorted(Margin().select(pool, 3, rng=np.random.default_rng(0)).tolist()) == [1, 3, 6]
    assert sorted(select(pool, 5)) == [1, 3, 4, 5, 6]


def test_classes_with_the_fewest_labels_come_first() -> None:
    pool = replace(pool_of(LOGITS), labels=np.array([0, 0, 1]))
    assert select(pool, 1) == [6]
    assert sorted(select(pool, 3)) == [4, 5, 6]


def test_what_a_class_does_not_have_goes_to_the_others() -> None:
    assert sorted(turns([], [0, 1, 1, 1, 2, 2, 2], 5)) == [0, 1, 1, 2, 2]
    assert sorted(turns([1, 1, 2], [0, 1, 1, 1], 4)) == [0, 1, 1, 1]


def test_round_robin_once_they_are_even() -> None:
    order = turns([2, 2, 2, 0], [0] * 9 + [1] * 9 + [2] * 9, 8)
    assert order[0] == 1
    assert sorted(order[1:3]) == sorted(order[3:5]) == [0, 1]
    assert sorted(order[5:]) == [0, 1, 2]


def test_labels_end_up_as_even_as_they_can() -> None:
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 50) ** 2, rng.integers(0, 10, 400)
    after: Labels = np.bincount(labels, minlength=10) + np.bincount(
        take_turns(labels, predicted, 60, rng), minlength=10
    )
    asked = after > np.bincount(labels, minlength=10)
    assert np.ptp(after[asked]) <= 1
    assert after[~asked].min(initial=999) >= after[asked].max() - 1


def test_ties_are_settled_at_random() -> None:
    first = {
        take_turns(np.int64([]), np.arange(5), 1, np.random.default_rng(seed)).item()
        for seed in range(40)
    }
    assert first == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("name", [n for n in registry.names("strategies") if n != "class_balanced"])
def test_any_other_strategy_can_choose_within_the_classes(name: str) -> None:
    pool = random_pool(80)
    select(pool, 11, name)
    select(pool, len(pool.unlabeled), name)


def test_not_itself() -> None:
    with pytest.raises(RunError, match=r"by itself; give another strategy, margin, say"):
        ClassBalanced("class_balanced")


def test_a_strategy_that_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match="margin"):
        ClassBalanced("marginn")


def test_ten_thousand_identical_rows() -> None:
    rows = select(pool_of(np.full((10_000, 3), 0.5, dtype=np.float32)), 100)
    assert rows == list(range(100))
