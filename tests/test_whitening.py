"""Whitening, and the sample of a pool that it comes from."""

import numpy as np
import pytest

from clipcache.arrays import Vectors
from clipcache.whitening import PoolSample, Whitening, unit


def rows(n: int, d: int = 6, seed: int = 0) -> Vectors:
    """Return unit rows with a large mean and uneven spread."""
    rng = np.random.default_rng(seed)
    return unit(3 + rng.standard_normal((n, d)) * np.arange(1, d + 1))


def sample(x: Vectors) -> PoolSample:
    return PoolSample(x, np.arange(len(x)))


def test_the_covariance_and_its_ridge_become_the_identity() -> None:
    pool = sample(rows(500))
    matrix = pool.whitening.matrix
    ridged = pool.covariance + pool.ridge * np.eye(6)
    np.testing.assert_allclose(matrix.T @ ridged @ matrix, np.eye(6), atol=1e-4)


def test_distances_are_those_of_mahalanobis() -> None:
    covariance = np.cov(rows(200).T)
    white = Whitening.of(np.zeros(6, dtype=np.float32), covariance, 0.1)
    x = rows(2, seed=1)
    step = (x[0] - x[1]) @ white.matrix
    inverse = np.linalg.inv(covariance + 0.1 * np.eye(6))
    expected = (x[0] - x[1]) @ inverse @ (x[0] - x[1])
    assert step @ step == pytest.approx(expected, rel=1e-4)


def test_whitened_rows_have_length_one() -> None:
    pool = sample(rows(100))
    np.testing.assert_allclose(np.linalg.norm(pool.whitened, axis=1), 1, atol=1e-5)
    assert pool.whitened.dtype == np.float32


def test_mean_and_covariance_are_numpys() -> None:
    x = rows(300)
    np.testing.assert_allclose(sample(x).mean, x.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(sample(x).covariance, np.cov(x.T, bias=True), atol=1e-6)


def test_copies_and_rows_that_are_no_numbers_are_left_out() -> None:
    x = rows(20)
    broken = np.full((2, 6), np.nan, dtype=np.float32)
    crowded = np.vstack([x[:5], broken, x, x[:1].repeat(50, axis=0)])
    np.testing.assert_array_equal(sample(crowded).vectors, x)


@pytest.mark.parametrize("x", [np.zeros((3, 4)), np.ones((1, 4)), np.empty((0, 4))])
def test_rows_without_spread_whiten_to_finite_numbers(x: Vectors) -> None:
    pool = sample(x.astype(np.float32))
    assert np.isfinite(pool.whitening(np.eye(4, dtype=np.float32))).all()


def test_a_row_of_zeros_stays_what_it_is() -> None:
    np.testing.assert_array_equal(unit(np.zeros((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize(("classes", "size"), [(2, 4096), (100, 6400), (1000, 16_384)])
def test_a_large_pool_is_sampled_once_each_and_in_order(classes: int, size: int) -> None:
    x = np.zeros((20_000, 1), dtype=np.float16)
    chosen = np.arange(100, 19_900)
    drawn = PoolSample.draw(x, chosen, classes, rng=np.random.default_rng(0)).rows
    assert len(drawn) == size
    assert (np.diff(drawn) > 0).all()
    assert np.isin(drawn, chosen).all()
    again = PoolSample.draw(x, chosen, classes, rng=np.random.default_rng(0)).rows
    np.testing.assert_array_equal(drawn, again)


def test_a_small_pool_is_taken_whole() -> None:
    chosen = np.array([3, 5, 9])
    drawn = PoolSample.draw(rows(10), chosen, 3, rng=np.random.default_rng(0)).rows
    np.testing.assert_array_equal(drawn, chosen)
