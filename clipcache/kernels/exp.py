"""exp for float32 that the compiler can turn into vector instructions.

LLVM calls the C library's `expf` number by number: ten million of them, for a pool of 250,000 rows
and 40 classes, would take longer than the matrix product.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from clipcache.arrays import Floats
from clipcache.kernels.jit import kernel

F = np.float32
LOG2_E, LN2_HIGH, LN2_LOW = F(1.44269504), F(0.693359375), F(-2.12194440e-4)
"""ln 2 in two parts: multiples of the first are exact (Cody and Waite 1980)."""
ROUND = F(12582912.0)
"""1.5 * 2^23: added and taken away again, it rounds to the nearest integer."""
P0, P1, P2, P3, P4, P5 = (F(p) for p in (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2))
"""Taylor's series to x^7: on |x| <= ln 2 / 2 what is left out is below 2^-27 of the result."""
LEAST = F(-87.0)
"""Below this the result is 0: nearly the smallest normal float32."""
ONE, ZERO, BIAS, SHIFT = F(1.0), F(0.0), np.int32(127), np.int32(23)


def exp(x: Any) -> Any:
    """Return e^x for x <= 0, within 2^-22 of itself for float32, as NumPy does for float64.

    For use inside kernels. A float32 below -87 gives 0, NaN stays NaN.
    """
    return np.exp(x)


@overload(exp)
def _choose(x: Any) -> Callable[[Any], Any]:
    return _exp_float32 if x == types.float32 else _exp_float64


def _exp_float64(x: Any) -> Any:
    return np.exp(x)


def _exp_float32(x: Any) -> Any:
    inside = x if x >= LEAST else LEAST  # also for NaN, which has no integer
    n = (inside * LOG2_E + ROUND) - ROUND
    r = inside - n * LN2_HIGH
    r = r - n * LN2_LOW
    series = ((((P0 * r + P1) * r + P2) * r + P3) * r + P4) * r + P5
    power = np.int32((np.int32(n) + BIAS) << SHIFT).view(np.float32)
    result = (series * (r * r) + r + ONE) * power
    return ZERO if x < LEAST else (result if x >= LEAST else x)


@kernel
def exp_sum(logits: Floats) -> tuple[Floats, Floats]:
    """Return each row's largest logit, and the sum of exp(logit - largest)."""
    rows, classes = logits.shape
    first = np.full(rows, -np.inf, logits.dtype)
    total = np.zeros(rows, logits.dtype)
    for j in range(classes):
        for i in range(rows):
            first[i] = logits[i, j] if logits[i, j] > first[i] else first[i]
    for j in range(classes):
        for i in range(rows):
            total[i] += exp(logits[i, j] - first[i])
    return first, total
