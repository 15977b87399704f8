"""Uncertainty as the entropy of the predicted distribution."""

import math

import numpy as np

from clipcache.arrays import Floats
from clipcache.kernels.exp import exp
from clipcache.kernels.jit import kernel
from clipcache.kernels.measure import Measure


@kernel
def _entropy(logits: Floats) -> tuple[Floats, Floats]:
    rows, classes = logits.shape
    zero, one = logits.dtype.type(0), logits.dtype.type(1)
    bit = logits.dtype.type(np.log(2.0))
    first = np.full(rows, -np.inf, logits.dtype)
    total = np.zeros(rows, logits.dtype)
    weighted = np.zeros(rows, logits.dtype)
    for j in range(classes):
        for i in range(rows):
            first[i] = logits[i, j] if logits[i, j] > first[i] else first[i]
    for j in range(classes):
        for i in range(rows):
            shifted = logits[i, j] - first[i]
            power = exp(shifted)
            total[i] += power
            # 0 * -inf would be NaN; the limit is 0
            weighted[i] += zero if power == zero else power * shifted
    for i in range(rows):
        bits = (np.log(total[i]) - weighted[i] / total[i]) / bit
        weighted[i] = zero if bits < zero else bits  # max() would turn NaN into 0
        total[i] = one / total[i]
    return weighted, total


def _rise(error: float, likeliest: Floats, classes: int) -> float:
    """Bound the change of H, in bits.

    Along a change v of the logits, dH = -Cov(log p, v), so |dH| <= error E|log p + H|, which is at
    most 2 H <= 2 ln c nats. The two bits more are for a sum and a logarithm in float32.
    """
    return 2 * error * (math.log2(classes) + 2)


entropy = Measure("entropy", _entropy, _rise)
"""Shannon entropy of each row's softmax, in bits.

In [0, log2(c)].

Reference: Shannon 1948; as a query measure Settles 2009, section 3.1. With t = exp(x - max) and
s = sum(t), -sum(p log p) = log s - sum(t (x - max)) / s, which needs one logarithm a row.
"""
