"""CLIP as it comes: the class names' vectors are the weights, labels are ignored."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import Labels, Vectors
from clipcache.errors import RunError
from clipcache.heads.base import LinearWeights
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["ZeroShot"]


@dataclass(frozen=True)
class ZeroShot:
    """Cosine to the class name times the encoder's own scale (Radford et al. 2021, 3.1)."""

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
        """Return the text vectors as weights; RunError where the cache has none."""
        if text is None:
            raise RunError(
                "the zero_shot head needs class names as text, but the cache has none; "
                "embed again with --labels names.txt"
            )
        weight = text.vectors[:n_classes].T * text.logit_scale  # (d, c)
        # In rows, as it is read back from a file: BLAS rounds differently for the other order.
        weight = np.ascontiguousarray(weight, dtype=np.float32)
        return LinearWeights(weight, np.zeros(n_classes, dtype=np.float32))
