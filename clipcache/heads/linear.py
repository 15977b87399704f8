"""A linear probe: multinomial logistic regression with an L2 penalty, fitted by L-BFGS."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import Float64, Labels, Vectors
from clipcache.heads.base import LinearWeights, check_training_set
from clipcache.logistic import minimise, penalised_loss, row_space
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
        basis = row_space(x - mean)  # (d, r)
        rows = np.hstack([(x - mean) @ basis, np.ones((len(x), 1))])  # (l, r + 1)
        first = np.zeros((rows.shape[1], n_classes))
        if start is not None:
            first[:-1], first[-1] = basis.T @ start.weight, start.bias + mean @ start.weight
        w = minimise(lambda flat: self._loss(flat, rows, y), first, self.max_iterations)
        weight = basis @ w[:-1]
        bias = w[-1] - mean @ weight
        return LinearWeights(weight.astype(np.float32), bias.astype(np.float32))

    def _loss(self, flat: Float64, rows: Float64, y: Labels) -> tuple[float, Float64]:
        """Return the objective and its gradient at the ((r + 1) * c,) weights `flat`."""
        return penalised_loss(flat, rows, y, self.c)
