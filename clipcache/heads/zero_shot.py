"""CLIP as it comes: the class names' vectors are the weights, labels are ignored."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clipcache.arrays import Labels, Vectors
from clipcache.heads.base import LinearWeights, text_weights
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["ZeroShot"]


@dataclass(frozen=True)
class ZeroShot:
    """Cosine to the class name times the encoder's own scale (Radford et al. 2021, 3.1)."""

    needs_text: ClassVar[bool] = True

    def fit(
        self,
        x: Vectors,
        y: Labels,
        *,
        n_classes: int,
        text: LabelText | None,
        rng: np.random.Generator,
        start: LinearWeights | None = None,
        pool: PoolSample | None = None,
    ) -> LinearWeights:
        """Return the text vectors as weights; RunError where the cache has none.

        A class whose name has no vector is never predicted.
        """
        return text_weights(text, n_classes, x[:0], y[:0], head="zero_shot")
