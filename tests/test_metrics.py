import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.metrics import top_k_accuracy


@st.composite
def answers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, classes = draw(st.integers(1, 12)), draw(st.integers(1, 8))
    cells = st.lists(st.integers(-2, 2), min_size=rows * classes, max_size=rows * classes)
    logits = np.array(draw(cells), dtype=np.float32).reshape(rows, classes)
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=rows, max_size=rows))
    return logits, np.array(labels)


@given(answers(), st.integers(1, 9))
def test_share_of_labels_among_the_first_k_of_a_stable_sort(
    answer: tuple[np.ndarray, np.ndarray], k: int
) -> None:
    logits, labels = answer
    hits = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda j: (-row[j], j))
        hits += label in order[:k]
    assert top_k_accuracy(logits, labels, k) == pytest.approx(hits / len(labels))


@given(answers())
def test_all_classes_are_always_enough(answer: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = answer
    assert top_k_accuracy(logits, labels, logits.shape[1]) == 1.0


def test_logits_that_are_not_numbers_are_never_right() -> None:
    nan = np.nan
    logits = np.float32([[nan, nan, nan], [nan, 1, 0], [nan, 1, 0], [0, 1, nan]])
    assert top_k_accuracy(logits, np.array([0, 0, 1, 1]), 1) == 0.0
