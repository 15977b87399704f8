"""Uncertainty as a small gap between the two likeliest classes."""

import numpy as np

from clipcache.arrays import Floats
from clipcache.kernels.exp import exp
from clipcache.kernels.jit import kernel
from clipcache.kernels.measure import Measure


@kernel
def _margin(logits: Floats) -> tuple[Floats, Floats]:
    rows, classes = logits.shape
    one = logits.dtype.type(1)
    first = np.full(rows, -np.inf, logits.dtype)
    second = np.full(rows, -np.inf, logits.dtype)
    total = np.zeros(rows, logits.dtype)
    for j in range(classes):
        for i in range(rows):
            value = logits[i, j]
            lower = value if value < first[i] else first[i]
            second[i] = lower if lower > second[i] else second[i]
            first[i] = value if value > first[i] else first[i]
    for j in range(classes):
        for i in range(rows):
            total[i] += exp(logits[i, j] - first[i])
    for i in range(rows):
        total[i] = one / total[i]
        second[i] = one - (one - exp(second[i] - first[i])) * total[i]
    return second, total


def _rise(error: float, likeliest: Floats, classes: int) -> Floats:
    """Bound the change of p1 - p2.

    Along a change v of the logits, dp = p (v - m) with m = sum(p v), |m| <= error. So p1 - p2
    changes by at most error (p1 + p2 + |p1 - p2|) = 2 error p1, also where the order changes.
    """
    return 2 * error * likeliest


margin = Measure("margin", _margin, _rise)
"""1 - (p1 - p2), p1 and p2 the two largest softmax probabilities.

In [0, 1]; 1 is a tie. With a single class, 0 for every row.

Reference: Scheffer, Decomain, Wrobel 2001, "Active hidden Markov models for information
extraction"; as 1 - margin, so that higher means sooner.
"""
