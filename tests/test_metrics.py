import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.errors import ArrayError
from clipcache.metrics import (
    class_recall,
    expected_calibration_error,
    head_recall,
    macro_recall,
    tail_recall,
    top_k_accuracy,
)

SURE = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=40)
PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=30)
"""Guess and label."""
COUNTS = st.lists(st.integers(0, 5), min_size=8, max_size=8).map(np.array)


def split(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    guesses, labels = np.array(pairs).T
    return guesses, labels


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


@given(SURE, st.integers(1, 20))
def test_calibration_error_is_the_gap_of_each_bin_by_its_share(
    answers: list[tuple[float, bool]], bins: int
) -> None:
    total = 0.0
    for b in range(bins):
        inside = [
            (p, right) for p, right in answers if b < p * bins <= b + 1 or (b == 0 and p == 0)
        ]
        if inside:
            p, right = np.mean(inside, axis=0)
            total += len(inside) / len(answers) * abs(right - p)
    confidence, correct = np.float32([p for p, _ in answers]), np.array([r for _, r in answers])
    found = expected_calibration_error(confidence, correct, bins)
    assert found == pytest.approx(total, abs=1e-9)
    assert 0 <= found <= 1
    back = expected_calibration_error(confidence[::-1], correct[::-1], bins)
    assert back == pytest.approx(found, abs=1e-12)


def test_calibration_errors_by_hand() -> None:
    sure, doubtful = np.ones(4, dtype=np.float32), np.full(4, 0.5, dtype=np.float32)
    half = np.array([True, True, False, False])
    assert expected_calibration_error(sure, half) == 0.5
    assert expected_calibration_error(doubtful, half) == 0
    assert expected_calibration_error(sure, half | True) == 0
    assert expected_calibration_error(sure, half & False) == 1
    # One bin hides that the sure half is right and the other wrong the wrong way round.
    mixed = np.float32([0.25, 0.25, 0.75, 0.75])
    assert expected_calibration_error(mixed, half, bins=1) == 0
    assert expected_calibration_error(mixed, half, bins=2) == 0.75


def test_calibrated_answers_measure_little_and_the_less_the_more_there_are() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(100_000, dtype=np.float32)
    correct = rng.random(100_000) < p
    few, many = (expected_calibration_error(p[:m], correct[:m]) for m in (1000, 100_000))
    assert many < 0.01 < few < 0.06


@given(PAIRS)
def test_recall_is_counted_class_by_class(pairs: list[tuple[int, int]]) -> None:
    found = class_recall(*split(pairs), 8)
    means = []
    for c in range(8):
        hits = [guess == c for guess, label in pairs if label == c]
        assert found[c] == pytest.approx(np.mean(hits) if hits else np.nan, nan_ok=True)
        means += [np.mean(hits)] if hits else []
    assert macro_recall(*split(pairs)) == pytest.approx(np.mean(means))


@given(PAIRS, st.permutations(range(8)))
def test_macro_recall_does_not_know_the_names(
    pairs: list[tuple[int, int]], order: list[int]
) -> None:
    guesses, labels = split(pairs)
    renamed = np.array(order)
    again = macro_recall(renamed[guesses], renamed[labels])
    assert again == pytest.approx(macro_recall(guesses, labels))


@given(st.lists(st.integers(0, 7), min_size=1, max_size=20), st.integers(1, 5))
def test_macro_recall_does_not_know_how_many_images_a_class_has(
    labels: list[int], times: int
) -> None:
    guesses, truth = np.array(labels[::-1]), np.array(labels)
    first = truth == truth[0]
    more = np.concatenate([np.arange(len(truth)), *[np.flatnonzero(first)] * times])
    assert macro_recall(guesses[more], truth[more]) == pytest.approx(macro_recall(guesses, truth))


@given(PAIRS, COUNTS)
def test_the_tail_is_the_first_third_of_a_plain_sort(
    pairs: list[tuple[int, int]], counts: np.ndarray
) -> None:
    guesses, labels = split(pairs)
    present = sorted({label for _, label in pairs}, key=lambda c: (counts[c], c))
    tail = present[: max(1, len(present) // 3)]
    inside = np.isin(labels, tail)
    expected = macro_recall(guesses[inside], labels[inside])
    assert tail_recall(guesses, labels, counts) == pytest.approx(expected)


def test_tail_recall_by_hand() -> None:
    labels = np.arange(6)
    guesses = np.array([0, 1, 0, 0, 0, 0])
    counts = np.array([5, 9, 9, 5, 9, 9])
    assert tail_recall(guesses, labels, counts) == 0.5  # classes 0 and 3
    assert tail_recall(guesses, labels, np.array([9, 5, 9, 9, 9, 9])) == 1.0  # 1, and 0 by index
    assert tail_recall(guesses[1:], labels[1:], counts) == 0.0  # 3 alone: a third of five
    assert tail_recall(guesses[:2], labels[:2], counts) == 1.0  # of two classes the rarer one
    assert tail_recall(guesses[4:5], labels[4:5], counts) == 0.0  # the only class


@given(PAIRS, COUNTS)
def test_the_head_is_the_last_third_of_a_plain_sort(
    pairs: list[tuple[int, int]], counts: np.ndarray
) -> None:
    guesses, labels = split(pairs)
    present = sorted({label for _, label in pairs}, key=lambda c: (counts[c], c))
    head = present[len(present) - max(1, len(present) // 3) :]
    inside = np.isin(labels, head)
    expected = macro_recall(guesses[inside], labels[inside])
    assert head_recall(guesses, labels, counts) == pytest.approx(expected)


def test_guesses_that_no_label_has_are_just_wrong() -> None:
    assert macro_recall(np.array([7, 0]), np.array([0, 0])) == 0.5


@pytest.mark.parametrize(("m", "n"), [((0,), (0,)), ((2,), (3,)), ((2, 1), (2,)), ((2, 2), (2, 2))])
def test_answers_that_are_not_one_an_image_are_refused(
    m: tuple[int, ...], n: tuple[int, ...]
) -> None:
    guesses, labels = np.zeros(m, dtype=np.int64), np.zeros(n, dtype=np.int64)
    found = rf"found {re.escape(str(m))} and {re.escape(str(n))}"
    with pytest.raises(ArrayError, match="one of guesses and labels an image, .*" + found):
        class_recall(guesses, labels, 1)
    with pytest.raises(ArrayError, match="one of guesses and labels an image, .*" + found):
        macro_recall(guesses, labels)
    with pytest.raises(ArrayError, match="one of guesses and labels an image, .*" + found):
        tail_recall(guesses, labels, np.array([1]))
    with pytest.raises(ArrayError, match="one of confidence and correct an image, .*" + found):
        expected_calibration_error(guesses.astype(np.float32), labels == 0)


def test_labels_without_a_class_are_refused() -> None:
    with pytest.raises(ArrayError, match="labels lie in 0 to 1, found -1 to 1"):
        class_recall(np.array([0, 1]), np.array([-1, 1]), 2)
    with pytest.raises(ArrayError, match="labels lie in 0 to 1, found 0 to 2"):
        tail_recall(np.array([0, 1]), np.array([0, 2]), np.array([5, 5]))
    with pytest.raises(ArrayError, match="labels lie in 0 to 0, found -1 to -1"):
        macro_recall(np.array([0]), np.array([-1]))


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1, 61.0])
def test_confidence_that_is_no_probability_is_refused(wrong: float) -> None:
    with pytest.raises(ArrayError, match=r"confidence lies in \[0, 1\], found"):
        expected_calibration_error(np.float32([0.5, wrong]), np.array([True, False]))


def test_no_bins_are_refused() -> None:
    with pytest.raises(ArrayError, match="at least one bin, found 0"):
        expected_calibration_error(np.float32([0.5]), np.array([True]), bins=0)
