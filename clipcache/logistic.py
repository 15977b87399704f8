"""Multinomial logistic regression with an L2 penalty: what the heads fitted by it share."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from clipcache.arrays import Float64, Labels
from clipcache.threads import one_thread


def cross_entropy(logits: Float64, y: Labels) -> tuple[float, Float64]:
    """Return the sum over labels, and its (l, classes) gradient."""
    log_probs = log_softmax(logits, axis=1)
    each = np.arange(len(y))
    residual = np.exp(log_probs)
    residual[each, y] -= 1.0
    return float(-log_probs[each, y].sum()), residual


def penalised_loss(
    flat: Float64, rows: Float64, y: Labels, c: float, offset: Float64 | float = 0.0
) -> tuple[float, Float64]:
    """Return cross-entropy summed over labels + |w|^2 / (2 c), and its gradient.

    Parameters
    ----------
    flat : (r * classes,) weights w, row by row.
    rows : (l, r).
    c : inverse strength of the penalty.
    offset : (l, classes) logits to which rows @ w is added.
    """
    w = flat.reshape(rows.shape[1], -1)
    loss, residual = cross_entropy(rows @ w + offset, y)
    gradient = rows.T @ residual + w / c
    return loss + float((w**2).sum()) / (2 * c), gradient.ravel()


def minimise(
    loss: Callable[[Float64], tuple[float, Float64]], first: Float64, max_iterations: int = 1000
) -> Float64:
    """Return where `loss` (and its gradient) is smallest, searching from `first` by L-BFGS."""
    with one_thread():  # on a busy machine, threads for matrices this small only wait
        found = minimize(
            loss,
            first.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iterations, "gtol": 1e-3, "ftol": 1e-8},
        )
    best: Float64 = found.x.reshape(first.shape)
    return best


def row_space(x: Float64) -> Float64:
    """Return an orthonormal basis (d, r) of a space that holds all rows.

    The penalty keeps the optimum inside the span of the rows (representer theorem), so with fewer
    labels than dimensions there is less to search.
    """
    labels, d = x.shape
    return np.linalg.qr(x.T)[0] if labels < d else np.eye(d)
