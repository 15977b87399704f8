"""Every label is held out once, by a head that has not seen it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.arrays import Labels, Logits, RowIds, Vectors
from clipcache.folds import folds, out_of_fold

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(np.array)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(LABELS, st.integers(2, 7), st.integers(0, 99))
def test_each_row_of_a_class_with_two_labels_is_held_out_once(
    y: Labels, count: int, seed: int
) -> None:
    parts = list(folds(y, count, rng=rng(seed)))
    held = np.concatenate([np.empty(0, dtype=int), *(out for _, out in parts)])
    judged = np.flatnonzero(np.bincount(y)[y] > 1)
    assert sorted(held.tolist()) == judged.tolist()
    assert len(parts) <= count
    for kept, out in parts:
        assert len(out)
        assert sorted([*kept.tolist(), *out.tolist()]) == list(range(len(y)))
        assert set(y[kept].tolist()) == set(y.tolist())  # a class is never held out whole


@given(LABELS, st.integers(2, 7))
def test_classes_are_spread_over_the_folds(y: Labels, count: int) -> None:
    for _, out in folds(y, count, rng=rng()):
        most = -(-np.bincount(y) // count)
        assert (np.bincount(y[out], minlength=len(most)) <= most).all()


def test_two_labels_of_a_class_are_never_held_out_together() -> None:
    y = np.array([0, 0, 1, 1])
    for kept, _ in folds(y, 5, rng=rng()):
        assert set(y[kept].tolist()) == {0, 1}


def test_what_is_held_out_hangs_on_the_generator() -> None:
    y = np.repeat(np.arange(4), 10)
    first, again, other = (
        [out.tolist() for _, out in folds(y, 5, rng=rng(seed))] for seed in (0, 0, 1)
    )
    assert first == again != other


class Remembers:
    """A head whose logits are 1 for the rows that it was fitted on, else 0."""

    def __init__(self, x: Vectors) -> None:
        self.known = x[:, 0]

    def logits(self, block: Vectors) -> Logits:
        return np.isin(block, self.known).astype(np.float32)


def test_nobody_judges_a_row_that_it_learned_from() -> None:
    y = np.array([0, 1, 0, 1, 2, 0, 1, 1, 0, 3, 3])
    x = np.arange(len(y), dtype=np.float32)[:, None]
    found = out_of_fold(lambda places: Remembers(x[places]), x, y, rng=rng(), count=3)
    assert found.places.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]
    assert not found.logits.any()


def test_logits_belong_to_their_rows() -> None:
    class Echo:
        def logits(self, block: Vectors) -> Logits:
            return block

    y, x = np.arange(30) % 4, np.arange(30, dtype=np.float32)[:, None]
    found = out_of_fold(lambda places: Echo(), x, y, rng=rng())
    assert found.logits[:, 0].tolist() == found.places.tolist() == list(range(30))


@pytest.mark.parametrize("y", [[0], [0, 1, 2]])
def test_without_a_class_of_two_nothing_is_judged(y: list[int]) -> None:
    def never(places: RowIds) -> Remembers:
        raise AssertionError

    x = np.zeros((len(y), 1), dtype=np.float32)
    assert len(out_of_fold(never, x, np.array(y), rng=rng()).places) == 0
