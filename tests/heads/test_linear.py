"""The linear probe against its own definition, minimised in the most obvious way."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import approx_fprime

from clipcache.arrays import Labels, Vectors
from clipcache.errors import ArrayError
from clipcache.heads.base import LinearWeights
from clipcache.heads.linear import Linear

Float64 = npt.NDArray[np.float64]


def fit(
    x: Vectors, y: Labels, classes: int, c: float = 30.0, start: LinearWeights | None = None
) -> LinearWeights:
    rng = np.random.default_rng(0)
    return Linear(c=c).fit(x, y, n_classes=classes, text=None, rng=rng, start=start)


def objective(w: Float64, x: Float64, y: Labels, c: float) -> float:
    """Return the docstring's sum, label by label; `w` is (d + 1, classes), the bias last."""
    total = (w**2).sum() / (2 * c)
    for row, label in zip(x, y, strict=True):
        logits = row @ w[:-1] + w[-1]
        total += np.log(np.exp(logits).sum()) - logits[label]
    return float(total)


def descend(x: Float64, y: Labels, classes: int, c: float, seed: int = 1) -> Float64:
    """Return the optimum by plain gradient descent from a random start.

    The step is 1 / L, L = |X|^2 / 2 + 1 / c an upper bound of the curvature, so every step
    descends; the objective is strongly convex (1 / c), so there is one place to end in.
    """
    rows = np.hstack([x, np.ones((len(x), 1))])
    wanted = np.eye(classes)[y]
    w = np.random.default_rng(seed).standard_normal((rows.shape[1], classes))
    step = 1 / ((rows**2).sum() / 2 + 1 / c)
    for _ in range(40_000):
        powers = np.exp(rows @ w)
        gradient = rows.T @ (powers / powers.sum(axis=1, keepdims=True) - wanted) + w / c
        w -= step * gradient
        if np.abs(gradient).max() < 1e-9:
            break
    return w


def clouds(rows: int, d: int, classes: int, seed: int) -> tuple[Vectors, Labels]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    x = rng.standard_normal((classes, d))[y] + rng.standard_normal((rows, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), y


@pytest.mark.parametrize("c", [0.1, 3.0])
@pytest.mark.parametrize(("rows", "d", "classes"), [(30, 3, 3), (12, 4, 5), (1, 2, 2)])
def test_reaches_the_one_optimum_of_its_objective(
    rows: int, d: int, classes: int, c: float
) -> None:
    x, y = clouds(rows, d, classes, seed=rows)
    found = fit(x, y, classes, c)
    mean = x.mean(axis=0, dtype=np.float64)
    w = np.vstack([found.weight, found.bias + mean @ found.weight])
    best = descend(x - mean, y, classes, c)
    assert objective(w, x - mean, y, c) - objective(best, x - mean, y, c) < 1e-4
    # Strong convexity 1/c turns the objective's 1e-4 into this distance at most.
    assert np.linalg.norm(w - best) < np.sqrt(2 * c * 1e-4)


def test_gradient_is_that_of_finite_differences() -> None:
    x, y = clouds(20, 3, 4, seed=2)
    rows = np.hstack([x, np.ones((20, 1))])
    w = np.random.default_rng(3).standard_normal(16)
    head = Linear(c=2.0)
    loss, gradient = head._loss(w, rows, y)
    assert loss == pytest.approx(objective(w.reshape(4, 4), x, y, 2.0))
    numeric = approx_fprime(w, lambda v: head._loss(v, rows, y)[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


def test_a_start_at_the_optimum_stays_there_and_another_start_gets_there() -> None:
    x, y = clouds(60, 6, 4, seed=5)
    best = fit(x, y, 4)
    again = fit(x, y, 4, start=best)
    np.testing.assert_allclose(again.weight, best.weight, atol=1e-2)
    rng = np.random.default_rng(0)
    far = LinearWeights(
        rng.standard_normal((6, 4)).astype(np.float32), rng.standard_normal(4).astype(np.float32)
    )
    found = fit(x, y, 4, start=far)
    np.testing.assert_allclose(found.weight, best.weight, atol=0.1)
    np.testing.assert_allclose(found.bias, best.bias, atol=0.1)
    assert not np.array_equal(found.weight, best.weight)  # the start was not just dropped


def test_the_search_begins_at_the_start() -> None:
    x, y = clouds(20, 3, 3, seed=5)
    start = LinearWeights(np.float32(100 * np.eye(3)), np.float32([1, 2, 3]))
    rng = np.random.default_rng(0)
    found = Linear(max_iterations=1).fit(x, y, n_classes=3, text=None, rng=rng, start=start)
    assert np.abs(found.weight - start.weight).max() < 20
    assert np.abs(found.bias - start.bias).max() < 20


def test_separable_data_is_separated() -> None:
    rng = np.random.default_rng(7)
    centers = np.linalg.qr(rng.standard_normal((16, 8)))[0].T  # 8 orthogonal unit vectors
    y = np.repeat(np.arange(8), 5)
    x = (centers[y] + 0.05 * rng.standard_normal((40, 16))).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert (fit(x, y, 8).logits(x).argmax(axis=1) == y).all()


def test_a_class_without_labels_is_never_the_likeliest() -> None:
    x, y = clouds(40, 8, 3, seed=9)
    logits = fit(x, y, 5).logits(x)
    assert (logits.argmax(axis=1) < 3).all()
    np.testing.assert_allclose(logits[:, 3], logits[:, 4], atol=1e-3)  # nothing tells them apart


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1], "found 3 and 2"),
        ([0, 1, 4], "from 0 to 4, but classes from 0 to 3"),
        ([-1, 1, 2], "from -1 to 2, but classes from 0 to 3"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: list[int], message: str) -> None:
    x = np.eye(3, dtype=np.float32)
    with pytest.raises(ArrayError, match=message):
        fit(x, np.array(labels), 4)


def test_no_labels_at_all_are_refused() -> None:
    with pytest.raises(ArrayError, match="found 0 and 0"):
        fit(np.empty((0, 3), dtype=np.float32), np.empty(0, dtype=np.int64), 4)
