"""From scores to rows."""

import numpy as np

from clipcache.arrays import RowIds, Scores


def top_k(scores: Scores, rows: RowIds, k: int) -> tuple[RowIds, Scores]:
    """Return the `k` rows with the highest scores (all, where there are fewer), best first.

    Equal scores are ordered by row, so that the answer does not depend on the order of the input.

    >>> best, values = top_k(np.float32([1, 3, 3]), np.array([7, 9, 8]), 2)
    >>> best.tolist(), values.tolist()
    ([8, 9], [3.0, 3.0])
    """
    if 0 < k < len(scores):
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        keep = scores >= least
        scores, rows = scores[keep], rows[keep]
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]
