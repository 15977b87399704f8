"""Uncertainty as a low probability of the likeliest class."""

from clipcache.arrays import Floats
from clipcache.kernels.exp import exp_sum
from clipcache.kernels.jit import kernel
from clipcache.kernels.measure import Measure


@kernel
def _least_confidence(logits: Floats) -> tuple[Floats, Floats]:
    _, total = exp_sum(logits)
    likeliest = logits.dtype.type(1) / total
    return logits.dtype.type(1) - likeliest, likeliest


def _rise(error: float, likeliest: Floats, classes: int) -> Floats:
    """Bound the change of p1: along a change v of the logits, dp1 = p1 (v1 - sum(p v))."""
    return 2 * error * likeliest


least_confidence = Measure("least_confidence", _least_confidence, _rise)
"""1 - p1, p1 the largest softmax probability.

In [0, 1 - 1/c].

Reference: Lewis and Gale 1994, "A sequential algorithm for training text classifiers".
"""
