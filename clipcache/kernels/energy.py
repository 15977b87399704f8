"""Strangeness: how little the head makes of a row, whatever the class."""

import numpy as np

from clipcache.arrays import Floats
from clipcache.kernels.exp import exp
from clipcache.kernels.jit import kernel
from clipcache.kernels.measure import Measure


@kernel
def _energy(logits: Floats) -> tuple[Floats, Floats]:
    rows, classes = logits.shape
    one = logits.dtype.type(1)
    first = np.full(rows, -np.inf, logits.dtype)
    total = np.zeros(rows, logits.dtype)
    for j in range(classes):
        for i in range(rows):
            first[i] = logits[i, j] if logits[i, j] > first[i] else first[i]
    for j in range(classes):
        for i in range(rows):
            total[i] += exp(logits[i, j] - first[i])
    for i in range(rows):
        first[i] = -(first[i] + np.log(total[i]))
        total[i] = one / total[i]
    return first, total


def _rise(error: float, likeliest: Floats, classes: int) -> float:
    """Bound the change: a log-sum-exp moves no further than its terms."""
    return 2 * error  # twice, for its own float32 rounding where logits are large


energy = Measure("energy", _energy, _rise)
"""Free energy -log(sum(exp(x))), in nats: high where all logits are low.

Reference: Liu et al. 2020, "Energy-based out-of-distribution detection", equation 4, T = 1.
"""
