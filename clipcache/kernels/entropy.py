"""Uncertainty as the entropy of the predicted distribution."""

import numpy as np

from clipcache.arrays import Logits, Scores
from clipcache.kernels.jit import kernel


@kernel
def entropy(logits: Logits) -> Scores:
    """Return the Shannon entropy of each row's softmax, in bits.

    Parameters
    ----------
    logits : (b, c) float32.

    Returns
    -------
    (b,) float32 in [0, log2(c)].

    Reference: Shannon 1948; as a query measure Settles 2009, section 3.1. With t = exp(x - max) and
    s = sum(t), -sum(p log p) = log s - sum(t (x - max)) / s, which needs one logarithm a row.
    """
    rows, classes = logits.shape
    out = np.empty(rows, dtype=np.float32)
    for i in range(rows):
        top = -np.inf
        for j in range(classes):
            top = max(top, logits[i, j])
        total, weighted = 0.0, 0.0
        for j in range(classes):
            shifted = logits[i, j] - top
            power = np.exp(shifted)
            total += power
            if power > 0.0:  # 0 * -inf would be NaN; the limit is 0
                weighted += power * shifted
        bits = (np.log(total) - weighted / total) / np.log(2.0)
        out[i] = 0.0 if bits < 0.0 else bits  # max() would turn NaN into 0
    return out
