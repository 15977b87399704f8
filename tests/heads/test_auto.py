"""The default head: as good as what the pool teaches where that is good, as the probe elsewhere."""

import numpy as np
import pytest
from scipy.special import log_softmax

from clipcache.arrays import Labels, RowIds, Vectors
from clipcache.heads.auto import FEWEST, USUAL_SCALE, Auto
from clipcache.heads.base import Head, LinearWeights
from clipcache.heads.linear import Linear
from clipcache.heads.text_prior import TextPrior
from clipcache.heads.transductive import Transductive
from clipcache.text import LabelText
from clipcache.whitening import PoolSample, unit
from tests.heads.worlds import nameless, world

D = 32
SEEDS = (0, 1, 2)
AXES = np.linalg.qr(np.random.default_rng(9).standard_normal((D, D)))[0]
NOBODY = np.empty(0, dtype=np.int64)


def clouds(rows: int, seed: int, noise: float = 1.5) -> tuple[Vectors, Labels]:
    """Return images of eight classes, each a cloud."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 8, rows)
    centers = np.random.default_rng(9).standard_normal((8, D))
    return unit(8 + centers[y] + noise * rng.standard_normal((rows, D))), y


def crossed(rows: int, seed: int) -> tuple[Vectors, Labels]:
    """Return images in four clouds that lie far apart, each of them with all four classes."""
    rng = np.random.default_rng(seed)
    y, cloud = rng.integers(0, 4, (2, rows))
    x = 0.7 * AXES[y] + 6 * AXES[4 + cloud] + 1.5 * rng.standard_normal((rows, D)) / D**0.5
    return unit(8 / D**0.5 + x), y


def long_tail(rows: int, seed: int) -> tuple[Vectors, Labels]:
    """Return clouds of which the largest has 64 times as many images as the smallest."""
    x, y = clouds(80 * rows, seed)
    rng = np.random.default_rng(seed)
    shares = 1 / np.arange(1, 9) ** 2
    wanted = rng.choice(8, rows, p=shares / shares.sum())
    chosen = [rng.choice(np.flatnonzero(y == c), (wanted == c).sum(), False) for c in range(8)]
    places = np.concatenate(chosen)
    return x[places], y[places]


def some_of_each(y: Labels, count: int) -> RowIds:
    return np.concatenate([np.flatnonzero(y == c)[:count] for c in range(y.max() + 1)])


def fit(
    head: Head,
    x: Vectors,
    y: Labels,
    pool: Vectors | None,
    *,
    classes: int = 8,
    text: LabelText | None = None,
) -> LinearWeights:
    sample = None if pool is None else PoolSample(pool, np.arange(len(pool)))
    rng = np.random.default_rng(0)
    fitted = head.fit(x, y, n_classes=classes, text=text, rng=rng, pool=sample)
    assert isinstance(fitted, LinearWeights)
    return fitted


def accuracy(head: LinearWeights, x: Vectors, y: Labels) -> float:
    return float((head.logits(x).argmax(axis=1) == y).mean())


def loss(head: LinearWeights, x: Vectors, y: Labels, scale: float = 1.0) -> float:
    return -float(log_softmax(scale * head.logits(x), axis=1)[np.arange(len(y)), y].mean())


@pytest.mark.parametrize("each", [2, 3])
def test_where_classes_are_clouds_few_labels_are_enough(each: int) -> None:
    test, truth = clouds(1000, 100)
    for seed in SEEDS:
        pool, y = clouds(600, seed)
        rows = some_of_each(y, each)
        found = accuracy(fit(Auto(), pool[rows], y[rows], pool), test, truth)
        probe = accuracy(fit(Linear(), pool[rows], y[rows], None), test, truth)
        assert found > probe + 0.05
        assert found > 0.85


@pytest.mark.parametrize("labels", [24, 80])
def test_where_clouds_cross_the_classes_the_pool_does_not_count(labels: int) -> None:
    test, truth = crossed(1000, 100)
    for seed in SEEDS:
        pool, y = crossed(600, seed)
        x, known = pool[:labels], y[:labels]
        found, probe, led_astray = (
            accuracy(fit(head, x, known, pool, classes=4), test, truth)
            for head in (Auto(), Linear(), Transductive())
        )
        assert led_astray < probe - 0.1
        assert found > probe - 0.02


def test_on_a_long_tail_the_mixture_is_better_than_both() -> None:
    test, truth = long_tail(1000, 100)
    for seed in SEEDS:
        pool, y = long_tail(600, seed)
        rows = np.random.default_rng(seed).choice(600, 80, replace=False)
        found, probe, taught = (
            accuracy(fit(head, pool[rows], y[rows], pool), test, truth)
            for head in (Auto(), Linear(), Transductive())
        )
        assert taught < probe
        assert found > probe + 0.02


@pytest.mark.parametrize(("labels", "lost"), [(40, 0.25), (80, 0.1)])
def test_it_is_about_as_sure_as_it_is_right(labels: int, lost: float) -> None:
    test, truth = clouds(1000, 100, noise=2.5)
    too_much = []
    for seed in SEEDS:
        pool, y = clouds(600, seed, noise=2.5)
        head = fit(Auto(), pool[:labels], y[:labels], pool)
        best = min(loss(head, test, truth, scale) for scale in np.geomspace(0.05, 20, 41))
        too_much.append(loss(head, test, truth) - best)
    assert np.mean(too_much) < lost  # nats


def test_with_too_few_labels_to_hold_out_the_pool_is_trusted() -> None:
    pool, y = clouds(600, 0)
    alone = [int(np.flatnonzero(y == c)[0]) for c in range(1, 8)]  # these are never held out
    for held_out in (FEWEST - 1, FEWEST):
        rows = np.array([*np.flatnonzero(y == 0)[:held_out], *alone])
        found, rule = (fit(head, pool[rows], y[rows], pool) for head in (Auto(), Transductive()))
        weight, bias = USUAL_SCALE * rule.weight, USUAL_SCALE * rule.bias
        assert np.allclose(found.weight, weight, rtol=1e-3) == (held_out < FEWEST)
        assert np.allclose(found.bias, bias, rtol=1e-3) == (held_out < FEWEST)


@pytest.mark.parametrize("pool", [None, PoolSample(np.eye(D, dtype=np.float32), NOBODY)])
def test_without_a_pool_it_is_the_probe(pool: PoolSample | None) -> None:
    x, y, words = world(40, mistaken=0.5)
    plain = TextPrior(strengths=TextPrior.strengths[:1])
    for text, probe in ((None, Linear()), (words, plain), (nameless(words, *range(5)), Linear())):
        found, expected = (
            head.fit(x, y, n_classes=5, text=text, rng=np.random.default_rng(0), pool=pool)
            for head in (Auto(), probe)
        )
        assert isinstance(found, LinearWeights)
        np.testing.assert_array_equal(found.weight, expected.weight)
        np.testing.assert_array_equal(found.bias, expected.bias)


def test_names_stand_in_for_labels_that_are_missing() -> None:
    pool, _, words = world(600, mistaken=0.2, seed=1)
    test, truth, _ = world(1000, mistaken=0.2, seed=2)
    x, y, _ = world(40, mistaken=0.2)
    x, y = x[y < 3], y[y < 3]
    named, unnamed = (fit(Auto(), x, y, pool, classes=5, text=text) for text in (words, None))
    assert accuracy(named, test, truth) > 0.9
    assert (unnamed.logits(test).argmax(axis=1) < 3).all()
