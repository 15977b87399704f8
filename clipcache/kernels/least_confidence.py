"""Uncertainty as a low probability of the likeliest class."""

import numpy as np

from clipcache.arrays import Logits, Scores
from clipcache.kernels.jit import kernel


@kernel
def least_confidence(logits: Logits) -> Scores:
    """Return 1 - p1, p1 the largest softmax probability.

    Parameters
    ----------
    logits : (b, c) float32.

    Returns
    -------
    (b,) float32 in [0, 1 - 1/c].

    Reference: Lewis and Gale 1994, "A sequential algorithm for training text classifiers".
    """
    rows, classes = logits.shape
    out = np.empty(rows, dtype=np.float32)
    for i in range(rows):
        top = -np.inf
        for j in range(classes):
            top = max(top, logits[i, j])
        total = 0.0
        for j in range(classes):
            total += np.exp(logits[i, j] - top)
        out[i] = 1.0 - 1.0 / total
    return out
