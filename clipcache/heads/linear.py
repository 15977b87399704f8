"""A linear probe: multinomial logistic regression with an L2 penalty, fitted by L-BFGS."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from clipcache.arrays import Labels, Vectors
from clipcache.heads.base import LinearWeights, check_training_set
from clipcache.text import LabelText

__all__ = ["Linear"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """Minimises cross-entropy summed over labels + |W|^2 / (2 c), the bias being part of W.

    The bias is penalised too, so that a class without a label has a finite optimum.
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
    ) -> LinearWeights:
        """Return the fitted weights; `start` is where the search begins, zero without it."""
        check_training_set(x, y, n_classes)
        d = x.shape[1]
        rows = np.hstack([x, np.ones((len(x), 1))]).astype(np.float64)  # (l, d + 1)
        first = np.zeros((d + 1, n_classes))
        if start is not None:
            first[:d], first[d] = start.weight, start.bias
        found = minimize(
            self._loss,
            first.ravel(),
            args=(rows, y),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": self.max_iterations, "gtol": 1e-4},
        )
        w = found.x.reshape(d + 1, n_classes).astype(np.float32)
        return LinearWeights(w[:d], w[d])

    def _loss(self, flat: Float64, rows: Float64, y: Labels) -> tuple[float, Float64]:
        """Return the objective and its gradient at `flat`, a ((d + 1) * c,) view of the weights."""
        w = flat.reshape(rows.shape[1], -1)
        log_probs = log_softmax(rows @ w, axis=1)  # (l, c)
        each = np.arange(len(y))
        loss = -log_probs[each, y].sum() + (w**2).sum() / (2 * self.c)
        residual = np.exp(log_probs)
        residual[each, y] -= 1.0
        gradient = rows.T @ residual + w / self.c
        return float(loss), gradient.ravel()
