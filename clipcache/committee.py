"""Several heads made of one, by dropping dimensions of the embedding."""

from dataclasses import dataclass, field

import numpy as np

from clipcache.arrays import Logits, Vectors
from clipcache.projection import HasLogits, Linear


@dataclass(frozen=True, eq=False)
class Stacked:
    """Linear heads side by side: still a linear head, so that the pool is read once for all."""

    weight: Vectors = field(repr=False)
    """(d, members * c) float32."""
    bias: Vectors = field(repr=False)
    """(members * c,) float32."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, members * c) float32 for (b, d) float32."""
        logits: Logits = block @ self.weight + self.bias
        return logits


@dataclass(frozen=True, eq=False)
class Masked:
    """Any head, asked once for each mask."""

    head: HasLogits
    masks: Vectors = field(repr=False)
    """(members, d) float32."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, members * c) float32 for (b, d) float32."""
        return np.hstack([self.head.logits(block * mask) for mask in self.masks])


def dropout_committee(
    head: HasLogits, members: int, rate: float, d: int, *, rng: np.random.Generator
) -> HasLogits:
    """Return `members` copies of a head, side by side, each without a random share of d dimensions.

    What is left is scaled by 1 / (1 - rate), so that the logits keep their size (Srivastava et al.
    2014, "Dropout").
    """
    masks = (rng.random((members, d)) >= rate).astype(np.float32) / np.float32(1 - rate)
    if not isinstance(head, Linear):
        return Masked(head, masks)
    weight = np.hstack([head.weight * mask[:, None] for mask in masks])
    return Stacked(weight, np.tile(head.bias, members))
