"""The likeliest classes of each row, for the person who labels it."""

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Logits, Probs
from clipcache.kernels.jit import kernel


@kernel
def shortlist(logits: Logits, k: int) -> tuple[npt.NDArray[np.int64], Probs]:
    """Return the `k` likeliest classes of each row and their softmax probabilities.

    Parameters
    ----------
    logits : (b, c) float32.
    k : at most c.

    Returns
    -------
    classes : (b, k) int64, the likeliest first; of equal logits the lower class first.
    probs : (b, k) float32.
    """
    rows, classes = logits.shape
    best = np.empty((rows, k), dtype=np.int64)
    probs = np.empty((rows, k), dtype=np.float32)
    values = np.empty(k, dtype=np.float32)
    for i in range(rows):
        filled, top = 0, np.float64(-np.inf)
        for j in range(classes):
            value = logits[i, j]
            top = max(top, value)
            place = filled
            while place and value > values[place - 1]:
                place -= 1
            if place == k:
                continue
            filled = min(filled + 1, k)
            for p in range(filled - 1, place, -1):
                values[p] = values[p - 1]
                best[i, p] = best[i, p - 1]
            values[place] = value
            best[i, place] = j
        total = 0.0
        for j in range(classes):
            total += np.exp(np.float64(logits[i, j]) - top)
        for p in range(k):
            probs[i, p] = np.exp(np.float64(values[p]) - top) / total
    return best, probs
