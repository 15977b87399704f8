import numpy as np
import pytest
from scipy.optimize import approx_fprime

from clipcache.logistic import minimise, penalised_loss, row_space


def test_loss_and_gradient_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    rows, y, w = rng.standard_normal((7, 3)), rng.integers(0, 4, 7), rng.standard_normal((3, 4))
    offset = rng.standard_normal((7, 4))
    loss, gradient = penalised_loss(w.ravel(), rows, y, 2.0, offset)
    total = (w**2).sum() / 4
    for row, label, given in zip(rows, y, offset, strict=True):
        logits = row @ w + given
        total += np.log(np.exp(logits).sum()) - logits[label]
    assert loss == pytest.approx(total)
    numeric = approx_fprime(w.ravel(), lambda v: penalised_loss(v, rows, y, 2.0, offset)[0], 1e-7)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)


def test_the_smallest_value_is_found_in_the_shape_of_the_start() -> None:
    wanted = np.arange(6.0).reshape(2, 3)
    found = minimise(
        lambda w: (float(((w - wanted.ravel()) ** 2).sum()), 2 * (w - wanted.ravel())),
        np.zeros((2, 3)),
    )
    np.testing.assert_allclose(found, wanted, atol=1e-3)


@pytest.mark.parametrize(("rows", "d"), [(1, 5), (3, 5), (5, 5), (9, 5)])
def test_the_row_space_holds_every_row(rows: int, d: int) -> None:
    x = np.random.default_rng(rows).standard_normal((rows, d))
    basis = row_space(x)
    np.testing.assert_allclose(x @ basis @ basis.T, x, atol=1e-12)
    np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)


def test_the_row_space_of_nothing_but_zeros_is_orthonormal_all_the_same() -> None:
    basis = row_space(np.zeros((2, 5)))
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-12)
