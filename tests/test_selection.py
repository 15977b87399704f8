import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.selection import top_k

LARGEST = float(np.finfo(np.float32).max)
SOME_VALUES = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 2**-149, 0.25, 0.5, LARGEST, np.inf])
FLOATS = st.floats(width=32, allow_nan=False)
SCORES = st.lists(SOME_VALUES, max_size=60) | st.lists(FLOATS, max_size=60)


def sorted_twin(scores: list[float], rows: list[int], k: int) -> tuple[list[int], list[float]]:
    """Return the first k of all pairs, in the order that the docstring promises."""
    pairs = sorted(zip(scores, rows, strict=True), key=lambda pair: (-pair[0], pair[1]))[:k]
    return [row for _, row in pairs], [score for score, _ in pairs]


@given(SCORES, st.integers(0, 70), st.randoms(use_true_random=False))
def test_best_k_in_order_ties_by_row(scores: list[float], k: int, random: object) -> None:
    rows = [3 * i for i in range(len(scores))]
    random.shuffle(rows)  # type: ignore[attr-defined]
    found, values = top_k(np.array(scores, dtype=np.float32), np.array(rows, dtype=np.int64), k)
    assert found.dtype == np.int64
    assert values.dtype == np.float32
    assert (found.tolist(), values.tolist()) == sorted_twin(scores, rows, k)


@given(SCORES, st.integers(0, 70), st.randoms(use_true_random=False))
def test_order_of_the_input_does_not_matter(scores: list[float], k: int, random: object) -> None:
    values = np.array(scores, dtype=np.float32)
    rows = np.arange(len(scores))
    order = list(range(len(scores)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight, shuffled = top_k(values, rows, k), top_k(values[order], rows[order], k)
    np.testing.assert_array_equal(straight[0], shuffled[0])


@pytest.mark.parametrize("k", [0, 3, 10])
def test_inputs_are_untouched(k: int) -> None:
    scores, rows = np.float32([1, 3, 2, 3]), np.array([4, 2, 9, 1])
    scores.setflags(write=False)
    rows.setflags(write=False)
    found, _ = top_k(scores, rows, k)
    assert found.tolist() == [1, 2, 9, 4][:k]
