"""Names for the arrays that cross public doors, and the checks made there, once.

Sizes are called the same everywhere: `n` rows of the cache, `d` dimensions, `c` classes, `k` picks.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.errors import ArrayError

RowIds = npt.NDArray[np.int64]
"""(k,) rows of the cache; the only public index."""
Labels = npt.NDArray[np.int64]
"""(k,) class indices, -1 where unknown."""
Features = npt.NDArray[np.float16]
"""(n, d) unit rows as the cache stores them."""
Vectors = npt.NDArray[np.float32]
"""(b, d) unit rows, ready for arithmetic."""
Logits = npt.NDArray[np.float32]
"""(b, c) unnormalised log-probabilities."""
Probs = npt.NDArray[np.float32]
"""(b, c) probabilities; rows sum to 1."""
Scores = npt.NDArray[np.float32]
"""(b,) acquisition scores; higher means "label sooner"."""


def check_rows(rows: npt.NDArray[Any], n: int, what: str) -> RowIds:
    """Return `rows` as int64 after checking that they are distinct and lie in [0, n).

    Raises ArrayError naming the first offender.
    """
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
        raise ArrayError(
            f"{what} must be a 1-D array of integers, but is {rows.ndim}-D of {rows.dtype}"
        )
    outside = rows[(rows < 0) | (rows >= n)]
    if len(outside):
        raise ArrayError(f"{what} names row {outside[0]}, but the cache has rows 0 to {n - 1}")
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ArrayError(f"{what} names row {values[counts > 1][0]} more than once")
    return rows.astype(np.int64, copy=False)
