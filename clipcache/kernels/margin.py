"""Uncertainty as a small gap between the two likeliest classes."""

import numpy as np

from clipcache.arrays import Logits, Scores
from clipcache.kernels.jit import kernel


@kernel
def margin(logits: Logits) -> Scores:
    """Return 1 - (p1 - p2), p1 and p2 the two largest softmax probabilities.

    Parameters
    ----------
    logits : (b, c) float32.

    Returns
    -------
    (b,) float32 in [0, 1]; 1 is a tie. With a single class, 0 for every row.

    Reference: Scheffer, Decomain, Wrobel 2001, "Active hidden Markov models for information
    extraction"; as 1 - margin, so that higher means sooner.
    """
    rows, classes = logits.shape
    out = np.empty(rows, dtype=np.float32)
    for i in range(rows):
        first, second = -np.inf, -np.inf
        for j in range(classes):
            value = logits[i, j]
            if value > first:
                first, second = value, first
            elif value > second:
                second = value
        total = 0.0
        for j in range(classes):
            total += np.exp(logits[i, j] - first)
        out[i] = 1.0 - (1.0 - np.exp(second - first)) / total
    return out
