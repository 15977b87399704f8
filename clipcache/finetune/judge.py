"""How good a network is on labelled images that it is not trained on."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

from clipcache.arrays import Labels, Pixels
from clipcache.finetune.network import Network


@dataclass(frozen=True)
class Judged:
    """What a network makes of the images that were held back."""

    loss: float
    """Mean cross-entropy in nats."""
    top1: float
    """In [0, 1]."""


class HeldBack(NamedTuple):
    """Labelled images that a network is judged by."""

    pixels: Pixels
    """(m, 3, s, s), as the encoder sees them."""
    labels: Labels
    """(m,)."""
    batch_size: int

    def judge(self, network: Network) -> Judged:
        """Return how good the network is now; with the head that it has now."""
        size = self.batch_size
        parts = [
            network.encode(self.pixels[start : start + size])
            for start in range(0, len(self.labels), size)
        ]
        logits = log_softmax(network.head().logits(np.concatenate(parts)).astype(float), axis=1)
        loss = -logits[np.arange(len(self.labels)), self.labels].mean()
        return Judged(float(loss), float((logits.argmax(axis=1) == self.labels).mean()))
