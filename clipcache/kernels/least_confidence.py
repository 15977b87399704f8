"""Uncertainty as a low probability of the likeliest class."""

import numpy as np

from clipcache.arrays import Floats
from clipcache.kernels.exp import exp
from clipcache.kernels.jit import kernel
from clipcache.kernels.measure import Measure


@kernel
def _least_confidence(logits: Floats) -> tuple[Floats, Floats]:
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
        total[i] = one / total[i]
    return one - total, total


def _rise(error: float, likeliest: Floats, classes: int) -> Floats:
    """Bound the change of p1: along a change v of the logits, dp1 = p1 (v1 - sum(p v))."""
    return 2 * error * likeliest


least_confidence = Measure("least_confidence", _least_confidence, _rise)
"""1 - p1, p1 the largest softmax probability.

In [0, 1 - 1/c].

Reference: Lewis and Gale 1994, "A sequential algorithm for training text classifiers".
"""
