"""Vectors of length 1, and those that cannot have it."""

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Float64
from clipcache.vectors.base import Raw

NOT_FINITE = "its vector has NaN or infinity in it"
ALL_ZERO = "its vector is all zeros, which points nowhere"


def faults(rows: Raw) -> npt.NDArray[np.str_]:
    """Return (k,) why each row cannot be used, "" for those that can."""
    finite = np.isfinite(rows).all(axis=1)
    return np.where(finite, np.where(rows.any(axis=1), "", ALL_ZERO), NOT_FINITE)


def unit_rows(rows: Raw) -> Float64:
    """Return (k, d) float64 rows of length 1 for rows without a fault.

    They are brought to a common size first: the square of a number above 1e154 overflows, and that
    of one below 1e-162 vanishes.
    """
    x = rows.astype(np.float64)
    x /= np.abs(x).max(axis=1, keepdims=True)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x
