"""Strangeness: how little the head makes of a row, whatever the class."""

import numpy as np

from clipcache.arrays import Floats
from clipcache.kernels.exp import exp_sum
from clipcache.kernels.jit import kernel
from clipcache.kernels.measure import Measure


@kernel
def _energy(logits: Floats) -> tuple[Floats, Floats]:
    first, total = exp_sum(logits)
    return -(first + np.log(total)), logits.dtype.type(1) / total


def _rise(error: float, likeliest: Floats, classes: int) -> float:
    """Bound the change: a log-sum-exp moves no further than its terms."""
    return 2 * error  # twice, for its own float32 rounding where logits are large


energy = Measure("energy", _energy, _rise)
"""Free energy -log(sum(exp(x))), in nats: high where all logits are low.

Reference: Liu et al. 2020, "Energy-based out-of-distribution detection", equation 4, T = 1.
"""
