import numpy as np
import pytest
from scipy.optimize import approx_fprime

from clipcache.arrays import Labels, Vectors
from clipcache.errors import ArrayError, RunError
from clipcache.heads.clip_adapter import ClipAdapter, ClipAdapterWeights
from clipcache.heads.zero_shot import ZeroShot
from clipcache.text import LabelText
from tests.heads.worlds import D, nameless, world

TEST = 600


def fit(x: Vectors, y: Labels, words: LabelText | None, seed: int = 0) -> ClipAdapterWeights:
    rng = np.random.default_rng(seed)
    return ClipAdapter().fit(x, y, n_classes=5, text=words, rng=rng)


def accuracy(head: ClipAdapterWeights, mistaken: float) -> float:
    x, y, _ = world(TEST, mistaken=mistaken, seed=7)
    return float((head.logits(x).argmax(axis=1) == y).mean())


def test_logits_are_cosines_to_the_names_of_the_moved_image() -> None:
    x, y, words = world(20, mistaken=1.0)
    head = fit(x, y, words)
    for row, logits in zip(x, head.logits(x), strict=True):
        inner = [max(0.0, float(row @ column)) for column in head.down.T]
        change = [max(0.0, float(np.dot(inner, column))) for column in head.up.T]
        moved = 0.2 * np.array(change) + 0.8 * row
        moved /= np.sqrt((moved**2).sum())
        np.testing.assert_allclose(logits, 50.0 * words.vectors @ moved, atol=1e-3)


def test_gradient_is_that_of_finite_differences() -> None:
    x, y, words = world(6, mistaken=1.0)
    head, rows = ClipAdapter(reduction=8), x.astype(np.float64)
    weight, bias = 50.0 * words.vectors.T.astype(np.float64), np.zeros(5)
    w = 0.3 * np.random.default_rng(0).standard_normal(2 * D * D // 8)
    _, gradient = head._loss(w, rows, y, weight, bias)
    numeric = approx_fprime(w, lambda v: head._loss(v, rows, y, weight, bias)[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, atol=1e-4)


def test_without_a_label_it_is_zero_shot() -> None:
    x, y, words = world(0, mistaken=1.0)
    words = nameless(words, 3)
    rng = np.random.default_rng(0)
    zero_shot = ZeroShot().fit(x, y, n_classes=5, text=words, rng=rng)
    test = world(TEST, mistaken=1.0, seed=7)[0]
    np.testing.assert_allclose(
        fit(x, y, words).logits(test), zero_shot.logits(test), rtol=1e-5, atol=1e-4
    )


def test_labels_help_where_names_are_mistaken() -> None:
    x, y, words = world(100, mistaken=3.0)
    assert accuracy(fit(x, y, words), 3.0) > accuracy(fit(x[:0], y[:0], words), 3.0) + 0.2


def test_classes_without_a_name_can_be_told_apart_once_labelled() -> None:
    x, y, words = world(100, mistaken=0.0)
    test_x, test_y, _ = world(TEST, mistaken=0.0, seed=7)
    guesses = fit(x, y, nameless(words, 1, 4)).logits(test_x).argmax(axis=1)
    for c in (1, 4):
        assert (guesses[test_y == c] == c).mean() > 0.7


def test_a_single_name_is_enough_to_tell_labelled_classes_apart() -> None:
    x, y, words = world(100, mistaken=0.0)
    guesses = fit(x, y, nameless(words, 1, 2, 3, 4)).logits(x).argmax(axis=1)
    assert (guesses == y).mean() > 0.8


def test_the_generator_alone_decides_where_the_search_begins() -> None:
    x, y, words = world(20, mistaken=1.0)
    a, b, other = (fit(x, y, words, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.down, b.down)
    np.testing.assert_array_equal(a.up, b.up)
    assert not np.array_equal(a.down, other.down)


def test_duplicates_zeros_and_contradictions_are_no_trouble() -> None:
    x, y, words = world(6, mistaken=1.0)
    x = np.vstack([np.zeros((1, D), dtype=np.float32), x, x])
    y = np.concatenate([y[:1], y, y[::-1]])
    for rows in (1, 2, len(y)):
        head = fit(x[:rows], y[:rows], nameless(words, 0))
        assert np.isfinite(head.logits(x)).all()


def test_it_needs_names_and_labels_that_fit() -> None:
    x, y, words = world(3, mistaken=1.0)
    with pytest.raises(RunError, match="clip_adapter head needs class names as text"):
        fit(x, y, None)
    with pytest.raises(ArrayError, match="found 3 and 2"):
        fit(x, y[:2], words)
