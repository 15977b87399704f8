"""Made-up images and names, for the heads that know both."""

from dataclasses import replace

import numpy as np

from clipcache.arrays import Labels, Vectors
from clipcache.text import LabelText
from clipcache.whitening import unit

D = 32


def nameless(words: LabelText, *classes: int) -> LabelText:
    """Return names of which some have no vector."""
    vectors = words.vectors.copy()
    vectors[list(classes)] = np.nan
    return replace(words, vectors=vectors)


def world(
    rows: int, *, classes: int = 5, mistaken: float, seed: int = 0
) -> tuple[Vectors, Labels, LabelText]:
    """Return unit images, their classes, and names that are `mistaken` to a degree.

    Images of a class lie around a center, all of them around a common one, and names around
    another: as CLIP's do. A name points from there to its class, plus noise of length `mistaken`.
    """
    rng = np.random.default_rng(99)
    centers = np.linalg.qr(rng.standard_normal((D, classes)))[0].T
    images, names, *_ = unit(rng.standard_normal((2, D)))
    noise = unit(rng.standard_normal((classes, D)))
    vectors = unit(images / 4 + names + 0.3 * (centers + mistaken * noise))
    y = np.random.default_rng(seed).integers(0, classes, rows)
    spread = np.random.default_rng(seed + 1).standard_normal((rows, D)) / D**0.5
    x = unit(images + 0.5 * centers[y] + 0.5 * spread)
    words = tuple(f"class {c}" for c in range(classes))
    return x, y, LabelText(words, ("{}",), vectors, 50.0)
