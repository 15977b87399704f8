"""Zero-shot without labels, a probe with many, and in between never much below zero-shot."""

import numpy as np
import pytest

from clipcache.arrays import Labels, Vectors
from clipcache.errors import ArrayError, RunError
from clipcache.heads.base import LinearWeights
from clipcache.heads.linear import Linear
from clipcache.heads.text_prior import TextPrior
from clipcache.heads.zero_shot import ZeroShot
from clipcache.text import LabelText
from clipcache.whitening import PoolSample
from tests.heads.worlds import D, nameless, world

TEST = 1000
FIXED = TextPrior(strengths=(30.0,))


def fit(
    x: Vectors,
    y: Labels,
    words: LabelText | None,
    head: TextPrior | ZeroShot | Linear | None = None,
) -> LinearWeights:
    pool = world(300, mistaken=0.0, seed=5)[0]
    return (head or TextPrior()).fit(
        x,
        y,
        n_classes=5,
        text=words,
        rng=np.random.default_rng(0),
        pool=PoolSample(pool, np.arange(300)),
    )


def accuracy(head: LinearWeights, mistaken: float) -> float:
    x, y, _ = world(TEST, mistaken=mistaken, seed=7)
    return float((head.logits(x).argmax(axis=1) == y).mean())


@pytest.mark.parametrize("without", [(), (1, 4)])
def test_without_a_label_it_is_zero_shot(without: tuple[int, ...]) -> None:
    x, y, words = world(0, mistaken=1.0)
    words = nameless(words, *without)
    found, wanted = fit(x, y, words), fit(x, y, words, ZeroShot())
    np.testing.assert_array_equal(found.weight, wanted.weight)
    np.testing.assert_array_equal(found.bias, wanted.bias)


@pytest.mark.parametrize("mistaken", [0.5, 2.0])
@pytest.mark.parametrize("labels", [1, 2, 3, 5, 10, 30])
def test_labels_do_not_make_it_worse_than_zero_shot(labels: int, mistaken: float) -> None:
    gains = []
    for seed in range(5):
        x, y, words = world(labels, mistaken=mistaken, seed=seed)
        prior = accuracy(fit(x, y, words, ZeroShot()), mistaken)
        gains.append(accuracy(fit(x, y, words), mistaken) - prior)
    assert np.mean(gains) > -0.01


def test_labels_of_one_class_do_not_make_it_worse_than_zero_shot() -> None:
    x, y, words = world(200, mistaken=1.0)
    x, y = x[y == 2][:20], y[y == 2][:20]
    assert accuracy(fit(x, y, words), 1.0) > accuracy(fit(x, y, words, ZeroShot()), 1.0) - 0.01


def test_many_labels_are_followed_whatever_the_names_say() -> None:
    x, y, words = world(500, mistaken=3.0)
    assert accuracy(fit(x, y, words, ZeroShot()), 3.0) < 0.6
    assert accuracy(fit(x, y, words), 3.0) > accuracy(fit(x, y, words, Linear()), 3.0) - 0.02


def test_good_names_survive_labels_that_are_wrong() -> None:
    x, y, words = world(150, mistaken=0.0)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(150) < 0.6, rng.integers(0, 5, 150), y)
    careful, trusting = accuracy(fit(x, y, words), 0.0), accuracy(fit(x, y, words, FIXED), 0.0)
    assert careful > trusting + 0.02


def test_the_optimum_is_where_its_objective_is_flat() -> None:
    x, y, words = world(40, mistaken=1.0)
    head, prior = fit(x, y, words, FIXED), fit(x, y, words, ZeroShot())
    center = world(300, mistaken=0.0, seed=5)[0].mean(axis=0, dtype=np.float64)
    delta = head.weight.astype(np.float64) - prior.weight
    bias = head.bias + center @ delta
    logits = x @ prior.weight + (x - center) @ delta + bias
    np.testing.assert_allclose(head.logits(x), logits, atol=1e-4)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    residual = powers / powers.sum(axis=1, keepdims=True) - np.eye(5)[y]
    np.testing.assert_allclose(delta, -30 * (x - center).T @ residual, atol=0.1)
    np.testing.assert_allclose(16 * bias, -30 * residual.sum(axis=0), atol=0.1)


def test_a_class_without_a_name_is_ruled_out_until_it_has_a_label() -> None:
    x, y, words = world(60, mistaken=0.0)
    words = nameless(words, 1, 4)
    test_x, test_y, _ = world(TEST, mistaken=0.0, seed=7)
    some = y != 4
    guesses = fit(x[some], y[some], words).logits(test_x).argmax(axis=1)
    assert (guesses != 4).all()
    assert (guesses[test_y == 1] == 1).mean() > 0.8
    one = np.flatnonzero(y == 1)[:1]
    first = fit(x[one], y[one], words).logits(test_x)
    before = fit(x[:0], y[:0], words).logits(test_x)
    assert (first[:, 1] > first[:, 4] + 40).all()  # in reach
    assert (before.argmax(axis=1) == first.argmax(axis=1))[test_y != 1].mean() > 0.98  # no more


def test_same_generator_same_bits_and_duplicates_and_zeros_are_no_trouble() -> None:
    x, y, words = world(12, mistaken=1.0)
    x = np.vstack([x, x, np.zeros((1, D), dtype=np.float32)])
    y = np.concatenate([y, y[::-1], y[:1]])  # the same image under two classes
    a, b = fit(x, y, words), fit(x, y, words)
    np.testing.assert_array_equal(a.weight, b.weight)
    assert np.isfinite(a.logits(x)).all()


def test_an_empty_pool_is_as_none() -> None:
    x, y, words = world(6, mistaken=1.0)
    pool = PoolSample(x, np.arange(0))
    rng = np.random.default_rng(0)
    a = TextPrior().fit(x, y, n_classes=5, text=nameless(words, 0), rng=rng, pool=pool)
    rng = np.random.default_rng(0)
    b = TextPrior().fit(x, y, n_classes=5, text=nameless(words, 0), rng=rng)
    np.testing.assert_array_equal(a.weight, b.weight)


def test_it_needs_names_and_labels_that_fit() -> None:
    x, y, words = world(3, mistaken=1.0)
    with pytest.raises(RunError, match="text_prior head needs class names as text"):
        fit(x, y, None)
    with pytest.raises(ArrayError, match="found 3 and 2"):
        fit(x, y[:2], words)
