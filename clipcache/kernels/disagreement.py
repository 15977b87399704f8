"""Uncertainty of a committee: what its members know, but not together."""

import math

import numpy as np

from clipcache.arrays import Floats
from clipcache.errors import ArrayError
from clipcache.kernels.exp import exp
from clipcache.kernels.jit import kernel
from clipcache.kernels.measure import Measure


def disagreement(members: int) -> Measure:
    """Return the measure for logits of `members` heads side by side, (b, members * c).

    The score is H(mean of p) - mean of H(p), in bits, in [0, log2(min(members, c))]: 0 where all
    members agree, high where each is sure of another class.

    Reference: Houlsby et al. 2011, "Bayesian active learning for classification and preference
    learning" (BALD), equation 2, with a committee for the posterior.
    """

    def kernel_of_members(logits: Floats) -> tuple[Floats, Floats]:
        if logits.shape[1] % members:
            raise ArrayError(f"{logits.shape[1]} logits cannot be those of {members} heads")
        return _disagreement(logits, members)

    return Measure("disagreement", kernel_of_members, _rise, members)


@kernel
def _disagreement(logits: Floats, members: int) -> tuple[Floats, Floats]:
    rows, columns = logits.shape
    classes = columns // members
    zero, bit = logits.dtype.type(0), logits.dtype.type(np.log(2.0))
    first = np.full((members, rows), -np.inf, logits.dtype)
    total = np.zeros((members, rows), logits.dtype)
    inner = np.zeros(rows, logits.dtype)  # sum over members of H, in nats
    outer = np.zeros(rows, logits.dtype)  # H of the mean
    mean = np.empty(rows, logits.dtype)
    for m in range(members):
        for j in range(m * classes, (m + 1) * classes):
            for i in range(rows):
                first[m, i] = logits[i, j] if logits[i, j] > first[m, i] else first[m, i]
        weighted = np.zeros(rows, logits.dtype)
        for j in range(m * classes, (m + 1) * classes):
            for i in range(rows):
                shifted = logits[i, j] - first[m, i]
                power = exp(shifted)
                total[m, i] += power
                weighted[i] += zero if power == zero else power * shifted
        for i in range(rows):
            inner[i] += np.log(total[m, i]) - weighted[i] / total[m, i]
    for j in range(classes):
        mean[:] = zero
        for m in range(members):
            for i in range(rows):
                mean[i] += exp(logits[i, m * classes + j] - first[m, i]) / total[m, i]
        for i in range(rows):
            p = mean[i] / logits.dtype.type(members)
            outer[i] -= zero if p == zero else p * np.log(p)
    for i in range(rows):
        bits = (outer[i] - inner[i] / logits.dtype.type(members)) / bit
        outer[i] = zero if bits < zero else bits  # max() would turn NaN into 0
    mean[:] = logits.dtype.type(1)  # nothing below it is claimed for the likeliest class
    return outer, mean


def _rise(error: float, likeliest: Floats, columns: int) -> float:
    """Bound the change, in bits; see `entropy` for one member.

    Each p stays within a factor e^(2 error), and so does their mean, which is thus no further off
    than logits that changed by 2 error. `columns`, members * c, stands for c, which is smaller.
    """
    return 6 * error * (math.log2(columns) + 2)
