"""A rule that the pool teaches: what it finds, and what it must not be led to."""

import numpy as np
import pytest

from clipcache.arrays import Labels, Vectors
from clipcache.discriminant import Discriminant
from clipcache.heads.base import LinearWeights
from clipcache.heads.linear import Linear
from clipcache.whitening import PoolSample, unit


def clouds(each: int, classes: int, d: int, noise: float, seed: int) -> tuple[Vectors, Labels]:
    """Return unit rows around random centres, class after class, far from the origin together."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), each)
    centers = np.random.default_rng(9).standard_normal((classes, d))
    x = 8 + centers[y] + noise * rng.standard_normal((len(y), d))
    return unit(x), y


def fit(
    x: Vectors,
    y: Labels,
    pool: Vectors,
    classes: int,
    recipe: Discriminant = Discriminant(),  # noqa: B008  (frozen)
) -> LinearWeights:
    known = np.bincount(y, minlength=classes) > 0
    sample = PoolSample(pool, np.arange(len(pool)))
    found = recipe.fit(x, y, sample, probe(x, y, classes), known)
    return LinearWeights(found.weight, found.bias)


def probe(x: Vectors, y: Labels, classes: int) -> LinearWeights:
    return Linear().fit(x, y, n_classes=classes, text=None, rng=np.random.default_rng(0))


def accuracy(head: LinearWeights, x: Vectors, y: Labels) -> float:
    return float((head.logits(x).argmax(axis=1) == y).mean())


def twin(x: Vectors, y: Labels, pool: Vectors, rounds: int, steps: int) -> Labels:
    """Return what the docstring describes, class by class and row by row, says of the pool."""
    scale, strength, classes = 30.0, 10.0, int(y.max()) + 1
    mean = pool.mean(axis=0)
    total = (pool - mean).T @ (pool - mean) / len(pool)
    ridge, within = np.trace(total) / len(total), total
    opinion = probe(x, y, classes).logits(pool).astype(np.float64)
    opinion -= np.log(np.exp(opinion).sum(axis=1, keepdims=True))
    shares, means = np.exp(opinion), []
    for _ in range(rounds):
        values, vectors = np.linalg.eigh(within + ridge * np.eye(len(total)))
        matrix = vectors / np.sqrt(values)

        def white(rows: Vectors, matrix: Vectors = matrix) -> Vectors:
            z = (rows - mean) @ matrix
            return z / np.linalg.norm(z, axis=1, keepdims=True)

        z, labelled = white(pool), white(x)
        for step in range(steps + 1):
            if step:
                powers = np.exp(scale * z @ np.array(means).T + opinion)
                shares = powers / powers.sum(axis=1, keepdims=True)
            means = []
            for label in range(classes):
                total_of = labelled[y == label].sum(axis=0)
                weight = min(1.0, strength / shares[:, label].sum())
                total_of = total_of + weight * (shares[:, [label]] * z).sum(axis=0)
                means.append(total_of / np.linalg.norm(total_of))
        within = total.copy()
        for label in range(classes):
            center = (shares[:, [label]] * (pool - mean)).sum(axis=0) / shares[:, label].sum()
            within = within - shares[:, label].sum() / len(pool) * np.outer(center, center)
    guesses: Labels = (z @ np.array(means).T).argmax(axis=1)
    return guesses


@pytest.mark.parametrize(("rounds", "steps"), [(1, 1), (1, 3), (2, 2), (5, 2)])
def test_agrees_with_the_slow_twin(rounds: int, steps: int) -> None:
    pool, truth = clouds(40, 4, 12, 1.5, seed=1)
    head = fit(pool[::20], truth[::20], pool, 4, Discriminant(rounds=rounds, steps=steps))
    expected = twin(pool[::20], truth[::20], pool, rounds, steps)
    assert (head.logits(pool).argmax(axis=1) == expected).mean() > 0.99  # float32 against float64
    assert 0.4 < (expected == truth).mean() < 1  # neither hopeless nor too easy to tell


def test_one_label_a_class_and_the_pool_beat_a_linear_probe() -> None:
    pool, truth = clouds(100, 6, 32, 1.5, seed=2)
    test, test_truth = clouds(50, 6, 32, 1.5, seed=3)
    labelled = np.arange(0, 600, 100)
    head = fit(pool[labelled], truth[labelled], pool, 6)
    linear = probe(pool[labelled], truth[labelled], 6)
    assert accuracy(head, test, test_truth) > accuracy(linear, test, test_truth) + 0.1


def test_a_large_pool_counts_no_more_than_a_small_one() -> None:
    pool, truth = clouds(50, 4, 16, 1.2, seed=4)
    x, y = pool[::25], truth[::25]
    once, thrice = fit(x, y, pool, 4), fit(x, y, np.tile(pool, (3, 1)), 4)
    np.testing.assert_allclose(once.logits(pool), thrice.logits(pool), atol=1e-2)


def test_the_order_of_rows_and_labels_does_not_matter() -> None:
    pool, truth = clouds(50, 4, 16, 1.2, seed=4)
    x, y = pool[::10], truth[::10]
    order = np.random.default_rng(0).permutation(len(y))
    one, other = fit(x, y, pool, 4), fit(x[order], y[order], pool[::-1], 4)
    np.testing.assert_allclose(one.logits(pool), other.logits(pool), atol=1e-2)


def test_a_class_without_a_label_is_never_predicted() -> None:
    pool, truth = clouds(50, 4, 16, 1.2, seed=5)
    seen = truth[::10] != 2
    head = fit(pool[::10][seen], truth[::10][seen], pool, 4)
    logits = head.logits(pool)
    assert (logits.argmax(axis=1) != 2).all()
    assert np.isfinite(logits).all()


def test_ten_thousand_copies_of_an_image_do_no_harm() -> None:
    pool, truth = clouds(50, 3, 16, 0.8, seed=6)
    crowded = np.vstack([pool, np.repeat(pool[:1], 10_000, axis=0)])
    head = fit(pool[::10], truth[::10], crowded, 3)
    assert accuracy(head, pool, truth) > 0.9


@pytest.mark.parametrize(
    "pool",
    [
        np.zeros((5, 8), dtype=np.float32),
        np.ones((1, 8), dtype=np.float32),
        np.tile(np.eye(8, dtype=np.float32)[:1], (50, 1)),
    ],
    ids=["zeros", "one row", "all the same"],
)
def test_a_pool_that_teaches_nothing_gives_finite_weights(pool: Vectors) -> None:
    x = np.eye(8, dtype=np.float32)[:3]
    head = fit(x, np.array([0, 1, 1]), pool, 2)
    assert np.isfinite(head.weight).all()
    assert np.isfinite(head.bias).all()


def test_rows_that_are_no_numbers_are_left_out_of_the_pool() -> None:
    pool, truth = clouds(30, 3, 8, 0.8, seed=7)
    broken = np.vstack([pool, np.full((4, 8), np.nan, dtype=np.float32)])
    head, clean = fit(pool[::5], truth[::5], broken, 3), fit(pool[::5], truth[::5], pool, 3)
    np.testing.assert_array_equal(head.weight, clean.weight)


def test_in_the_space_of_all_labels_fewer_labels_find_nearly_the_same() -> None:
    pool, truth = clouds(60, 4, 16, 1.0, seed=10)
    sample, x, y = PoolSample(pool, np.arange(240)), pool[::10], truth[::10]
    known = np.ones(4, dtype=np.bool_)
    whole = Discriminant().fit(x, y, sample, probe(x, y, 4), known)
    guide = probe(x[::2], y[::2], 4)
    fewer = Discriminant().fit_in(whole.space, x[::2], y[::2], sample, guide, known)
    guesses = [(pool @ f.weight + f.bias).argmax(axis=1) for f in (whole, fewer)]
    assert (guesses[0] == guesses[1]).mean() > 0.95


def test_a_guide_that_knows_better_is_followed() -> None:
    pool, truth = clouds(60, 4, 16, 3.0, seed=11)
    sample, x, y = PoolSample(pool, np.arange(240)), pool[::20], truth[::20]
    guide, known = probe(pool.repeat(5, axis=0), truth.repeat(5), 4), np.ones(4, dtype=np.bool_)
    right = []
    for trust in (0.0, 1.0, 5.0):
        found = Discriminant(trust=trust).fit(x, y, sample, guide, known)
        right.append(accuracy(LinearWeights(found.weight, found.bias), pool, truth))
    assert right == sorted(right)
    assert right[-1] > right[0] + 0.05
