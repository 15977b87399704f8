"""A cache of made-up images, written through the real writer.

Classes are Gaussian clouds around random unit vectors, near enough to each other that a head makes
mistakes and learns from labels. Rows 7 and 11 have failed, and every 37th row has no label.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.cache.layout import PARTS, State
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.encoders.base import Identity
from clipcache.text import LabelText

DIM = 16
CHUNK_ROWS = 256
FAILED = (7, 11)
NO_LABEL_EVERY = 37


def identity(weights: str = "ab" * 32) -> Identity:
    """Return the identity of an encoder that never was."""
    return Identity("made-up", "clouds", "none", weights, "none", 8, DIM, "float32")


def class_names(classes: int) -> tuple[str, ...]:
    """Return class 0, class 1, ..."""
    return tuple(f"class {index}" for index in range(classes))


def columns(n: int, classes: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return all columns of `n` rows; row i is the same for every n."""
    centers = np.random.default_rng(99).standard_normal((classes, DIM))
    values: dict[str, list[Any]] = {
        name: [] for name in ("label", "split", "embedding", "digest", "reason")
    }
    for row in range(n):
        rng = np.random.default_rng((seed, row))
        label = int(rng.integers(classes))
        vector = centers[label] + 1.3 * rng.standard_normal(DIM)
        values["embedding"].append(vector / np.linalg.norm(vector))
        values["label"].append(-1 if row % NO_LABEL_EVERY == 5 else label)
        values["split"].append(int(row % 5 == 0))
        values["digest"].append(rng.integers(0, 256, 32))
        values["reason"].append("made to fail" if row in FAILED else "")
    state = np.full(n, State.DONE, dtype=np.int8)
    state[[row for row in FAILED if row < n]] = State.FAILED
    return {
        "key": np.array([f"{row:06d}.jpg" for row in range(n)]),
        "label": np.array(values["label"], dtype=np.int32),
        "split": np.array(values["split"], dtype=np.int8),
        "embedding": np.array(values["embedding"], dtype=np.float16),
        "digest": np.array(values["digest"], dtype=np.uint8),
        "stamp": np.full((n, 2), 5, dtype=np.int64),
        "state": state,
        "reason": np.array(values["reason"]),
    }


def text(classes: int, dim: int = DIM) -> LabelText:
    """Return unit vectors for class names, as a text tower would make them."""
    vectors = np.random.default_rng(99).standard_normal((classes, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return LabelText(class_names(classes), ("a photo of a {}.",), vectors, 20.0)


def write_cache(
    path: Path, n: int = 600, classes: int = 8, seed: int = 0, *, finished: bool = True
) -> EmbeddingCache:
    """Write a cache of `n` rows; without `finished` its last chunk has no embeddings."""
    values = columns(n, classes, seed)
    with CacheWriter.open(path, identity(), chunk_rows=CHUNK_ROWS) as writer:
        writer.grow(n)
        for chunk in range(writer.cache.chunks):
            rows = writer.cache.span(chunk)
            part = {name: column[rows] for name, column in values.items()}
            writer.commit("listing", chunk, {name: part[name] for name in PARTS["listing"]})
            if finished or chunk < writer.cache.chunks - 1:
                writer.commit("result", chunk, {name: part[name] for name in PARTS["result"]})
        if classes:
            writer.write_text(text(classes))
    return EmbeddingCache.open(path)
