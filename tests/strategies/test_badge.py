from dataclasses import replace

import numpy as np
import pytest

from clipcache.arrays import Float64
from clipcache.errors import ArrayError
from clipcache.pool import Pool
from clipcache.strategies import badge
from clipcache.strategies.badge import Badge, Gradients
from tests.strategies.pools import pool_of, random_pool


def explicit(pool: Pool) -> Float64:
    """Return the (u, c * d) gradients of the loss at the predicted class."""
    x = pool.embeddings(pool.unlabeled).astype(np.float64)
    residual = pool.probs(pool.unlabeled).astype(np.float64)
    residual[np.arange(len(x)), residual.argmax(axis=1)] -= 1
    return np.einsum("ic,id->icd", residual, x).reshape(len(x), -1)


def squared(g: Float64) -> Float64:
    """Return the (u, u) squared distances of all pairs."""
    return ((g[:, None] - g[None]) ** 2).sum(axis=2)


def test_distances_are_those_of_the_gradients_written_out() -> None:
    pool = random_pool(120)
    found = Gradients.of(pool.head, pool.embeddings(pool.unlabeled))
    g = explicit(pool)
    np.testing.assert_allclose(found.squares, (g**2).sum(axis=1), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.distances(found), squared(g), rtol=1e-3, atol=1e-5)


def test_a_doubt_of_another_kind_comes_second() -> None:
    logits = np.float32(
        [
            [2, 2, 0, 0],  # doubts about the first two classes: the same gradient, five times
            [2, 2, 0, 0],
            [2, 2, 0, 0],
            [2, 2, 0, 0],
            [2, 2, 0, 0],
            [0, 0, 2, 1],  # about the others
            [2, 2, 0, 0],
        ]
    )
    for seed in range(10):
        rows = Badge().select(pool_of(logits), 2, rng=np.random.default_rng(seed))
        assert rows.tolist() == [0, 5]


def chances(pool: Pool) -> tuple[Float64, Float64]:
    """Return each place's chance to be chosen second and third, from all distances at hand."""
    g = explicit(pool)
    apart, first = squared(g), int((g**2).sum(axis=1).argmax())
    second = apart[first] / apart[first].sum()
    left = np.minimum(apart[first], apart)  # (second, third)
    total = left.sum(axis=1, keepdims=True)
    return second, second @ np.divide(left, total, where=total > 0, out=np.zeros_like(left))


@pytest.mark.parametrize(("tickets", "few"), [(4096, 256), (6, 99), (6, 1)])
def test_rows_are_drawn_in_proportion_to_their_squared_distance(
    tickets: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(badge, "TICKETS", tickets)  # few draws a pass, or hardly a second pass
    monkeypatch.setattr(badge, "FEW", few)
    pool = random_pool(16, d=4, c=3)
    pool = replace(pool, unlabeled=pool.unlabeled[:6])
    seeds = 150
    picks = np.array([Badge().select(pool, 3, rng=np.random.default_rng(s)) for s in range(seeds)])
    for column, chance in zip((1, 2), chances(pool), strict=True):
        counts = (picks[:, column, None] == pool.unlabeled).sum(axis=0)
        spread = np.sqrt(seeds * chance * (1 - chance))
        assert (np.abs(counts - seeds * chance) <= 4.5 * spread + 1).all()


def test_the_longest_gradient_comes_first() -> None:
    logits = np.float32([[9, 0, 0], [2, 2, 0], [3, 3, 3], [1, 0, 0]])
    rows = Badge().select(pool_of(logits), 4, rng=np.random.default_rng(0))
    assert rows[0] == 2
    assert set(rows.tolist()) == {0, 1, 2, 3}


def test_seeds_differ() -> None:
    pool = random_pool()
    a, b = (Badge().select(pool, 20, rng=np.random.default_rng(s)).tolist() for s in (0, 1))
    assert set(a) != set(b)


def test_a_row_that_is_not_a_number_is_named() -> None:
    with pytest.raises(ArrayError, match="rows 2"), np.errstate(invalid="ignore"):
        Badge().select(pool_of(np.float32([[0], [1], [np.nan]])), 1, rng=np.random.default_rng(0))
