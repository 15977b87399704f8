"""A linear probe: multinomial logistic regression with an L2 penalty, fitted by L-BFGS."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from threadpoolctl import threadpool_limits

from clipcache.arrays import Float64, Labels, Vectors
from clipcache.heads.base import LinearWeights, check_training_set
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["Linear"]


@dataclass(frozen=True)
class Linear:
    """Minimises cross-entropy summed over labels + (|W|^2 + |b|^2) / (2 c).

    The logits are (x - m) W + b, m the mean of the labelled vectors: CLIP's vectors share a large
    mean, and without it the search takes fewer steps. The bias is penalised too, so that a class
    without a label has a finite optimum.

    Reference: Radford et al. 2021, appendix A.3 (linear probes by L-BFGS).
    """

    c: float = 30.0
    """Inverse strength of the penalty, as in scikit-learn."""
    max_iterations: int = 1000

    def fit(
        self,
        x: Vectors,
        y: Labels,
        *,
        n_classes: int,
        text: LabelText | None,
        rng: np.random.Generator,
        start: LinearWeights | None = None,
        pool: PoolSample | None = None,
    ) -> LinearWeights:
        """Return the fitted weights; `start` is where the search begins, zero without it."""
        check_training_set(x, y, n_classes)
        mean = x.mean(axis=0, dtype=np.float64)
        basis = _row_space(x - mean)  # (d, r)
        rows = np.hstack([(x - mean) @ basis, np.ones((len(x), 1))])  # (l, r + 1)
        first = np.zeros((rows.shape[1], n_classes))
        if start is not None:
            first[:-1], first[-1] = basis.T @ start.weight, start.bias + mean @ start.weight
        with threadpool_limits(1):  # on a busy machine, threads for matrices this small only wait
            found = minimize(
                self._loss,
                first.ravel(),
                args=(rows, y),
                jac=True,
                method="L-BFGS-B",
                options={"maxiter": self.max_iterations, "gtol": 1e-3, "ftol": 1e-8},
            )
        w = found.x.reshape(rows.shape[1], n_classes)
        weight = basis @ w[:-1]
        bias = w[-1] - mean @ weight
        return LinearWeights(weight.astype(np.float32), bias.astype(np.float32))

    def _loss(self, flat: Float64, rows: Float64, y: Labels) -> tuple[float, Float64]:
        """Return the objective and its gradient at the ((r + 1) * c,) weights `flat`."""
        w = flat.reshape(rows.shape[1], -1)
        log_probs = log_softmax(rows @ w, axis=1)  # (l, c)
        each = np.arange(len(y))
        loss = -log_probs[each, y].sum() + (w**2).sum() / (2 * self.c)
        residual = np.exp(log_probs)
        residual[each, y] -= 1.0
        gradient = rows.T @ residual + w / self.c
        return float(loss), gradient.ravel()


def _row_space(x: Float64) -> Float64:
    """Return an orthonormal basis (d, r) of a space that holds all rows.

    The penalty keeps the optimum inside the span of the rows (representer theorem), so with fewer
    labels than dimensions there is less to search.
    """
    labels, d = x.shape
    return np.linalg.qr(x.T)[0] if labels < d else np.eye(d)
