"""Logits in float64, for the few rows where float32 cannot tell who is ahead."""

import numpy as np

from clipcache.arrays import Float64
from clipcache.kernels.jit import kernel

TOGETHER = 8
"""Rows that share one reading of the weights."""


@kernel
def exact(x: Float64, weight: Float64, bias: Float64) -> Float64:
    """Return x @ weight + bias, summed over the dimensions in order.

    Parameters
    ----------
    x : (b, d) float64. weight : (d, c) float64. bias : (c,) float64.

    Returns
    -------
    (b, c) float64. The same row gives the same bits wherever it stands, which BLAS does not
    promise; so rows that are copies of each other tie.
    """
    rows, d = x.shape
    out = np.empty((rows, weight.shape[1]))
    for start in range(0, rows, TOGETHER):
        stop = min(start + TOGETHER, rows)
        for i in range(start, stop):
            for j in range(weight.shape[1]):  # a slice here would take seconds to compile
                out[i, j] = bias[j]
        for k in range(d):
            for i in range(start, stop):
                for j in range(weight.shape[1]):
                    out[i, j] += x[i, k] * weight[k, j]
    return out
