"""Made-up pools to measure speed with: clouds around class centres, as CLIP's vectors lie."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Features, Labels, Vectors
from clipcache.cache.layout import CHUNK_ROWS, State
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.encoders.base import Identity
from clipcache.heads.base import LinearWeights
from clipcache.whitening import unit

SPREAD, SCALE = 6.0, 20.0
"""Length of a row's own part, that of its class's centre being 1, and of a class's weights. With 40
classes the head is then right on 6 of 7 rows and in half of them leads by less than 1, like a probe
with a few hundred labels on CLIP's vectors: there are near-ties to be told apart."""


def centers(dim: int, classes: int) -> Vectors:
    """Return (classes, dim) float32 unit vectors."""
    return unit(np.random.default_rng(0).standard_normal((classes, dim), dtype=np.float32))


def chunks(rows: int, dim: int, classes: int) -> Iterator[tuple[Features, Labels]]:
    """Yield unit rows as float16 and their classes, a chunk of a cache at a time.

    The noise of a chunk is that of the first one in another order and with other signs: to draw
    two billion numbers would take longer than what is measured.
    """
    rng = np.random.default_rng(1)
    middle = centers(dim, classes)
    noise = SPREAD * unit(rng.standard_normal((CHUNK_ROWS, dim), dtype=np.float32))
    for start in range(0, rows, CHUNK_ROWS):
        size = min(CHUNK_ROWS, rows - start)
        labels = rng.integers(0, classes, size)
        signs = rng.choice(np.array([-1, 1], dtype=np.float32), dim)
        x = middle[labels] + noise[rng.permutation(CHUNK_ROWS)[:size]] * signs
        yield unit(x).astype(np.float16), labels


def in_memory(rows: int, dim: int, classes: int) -> tuple[Features, Labels]:
    """Return (rows, dim) float16 and (rows,) int64."""
    x, y = np.empty((rows, dim), dtype=np.float16), np.empty(rows, dtype=np.int64)
    for number, (features, labels) in enumerate(chunks(rows, dim, classes)):
        span = slice(number * CHUNK_ROWS, number * CHUNK_ROWS + len(labels))
        x[span], y[span] = features, labels
    return x, y


def on_disk(path: Path, rows: int, dim: int, classes: int) -> EmbeddingCache:
    """Write a pool as a cache, in the way that `clipcache embed` does."""
    identity = Identity("none", "clouds", "none", "0" * 64, "none", 1, dim, "float32")
    with CacheWriter.open(path, identity, chunk_rows=CHUNK_ROWS) as writer:
        writer.grow(rows)
        for number, (features, labels) in enumerate(chunks(rows, dim, classes)):
            size = len(labels)
            first = number * CHUNK_ROWS
            listing: dict[str, npt.NDArray[Any]] = {
                "key": np.array([f"{row:09d}" for row in range(first, first + size)]),
                "label": labels.astype(np.int32),
                "split": np.zeros(size, dtype=np.int8),
            }
            result: dict[str, npt.NDArray[Any]] = {
                "embedding": features,
                "digest": np.zeros((size, 32), dtype=np.uint8),
                "stamp": np.zeros((size, 2), dtype=np.int64),
                "state": np.full(size, State.DONE, dtype=np.int8),
                "reason": np.full(size, ""),
            }
            writer.commit("listing", number, listing)
            writer.commit("result", number, result)
    return EmbeddingCache.open(path)


def head(dim: int, classes: int, number: int = 0) -> LinearWeights:
    """Return weights that know the classes, roughly; each number gives another head."""
    rng = np.random.default_rng((2, number))
    own = 0.5 * unit(rng.standard_normal((classes, dim), dtype=np.float32))
    weight = SCALE * unit(centers(dim, classes) + own).T
    return LinearWeights(np.ascontiguousarray(weight), np.zeros(classes, dtype=np.float32))
