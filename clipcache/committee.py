"""Several heads made of one, by dropping dimensions of the embedding."""

from dataclasses import dataclass, field

import numpy as np

from clipcache.arrays import Logits, Vectors
from clipcache.errors import ArrayError
from clipcache.projection import HasLogits, Weights


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
    if members < 1 or not 0 <= rate < 1:
        raise ArrayError(
            "a committee needs at least one member and a dropout in [0, 1), "
            f"found {members} and {rate}"
        )
    masks = (rng.random((members, d)) >= rate).astype(np.float32) / np.float32(1 - rate)
    if not isinstance(head, Weights):
        return Masked(head, masks)
    weight = np.hstack([head.weight * mask[:, None] for mask in masks])
    return Weights(weight, np.tile(head.bias, members))
