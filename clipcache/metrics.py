"""Numbers that say how good a head is."""

import numpy as np

from clipcache.arrays import Labels, Logits


def top_k_accuracy(logits: Logits, labels: Labels, k: int) -> float:
    """Return the share of rows whose label is among the `k` highest logits, in [0, 1].

    A class counts as higher only where its logit is strictly larger, or equal with a lower index,
    so that ties are decided the same way everywhere.

    >>> top_k_accuracy(np.float32([[0, 2, 1], [5, 0, 0]]), np.array([2, 0]), 1)
    0.5
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1]) < labels[:, None]
    rank = (~(logits <= own) | ((logits == own) & before)).sum(axis=1)  # NaN is never right
    return float((rank < k).mean())
