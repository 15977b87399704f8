"""Caches written straight through CacheWriter, with made-up vectors."""

from pathlib import Path

import numpy as np

from clipcache.cache import CacheWriter
from clipcache.cache.layout import PARTS, Columns
from clipcache.encoders.base import Identity
from clipcache.text import LabelText

DIM, CHUNK_ROWS = 6, 8
IDENTITY = Identity("open_clip", "toy", "none", "ab" * 32, "none", 8, DIM, "float32")


def unit_rows(n: int, seed: int) -> np.ndarray:
    """(n, DIM) float32 unit rows."""
    rows = np.random.default_rng(seed).normal(size=(n, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_columns(start: int, stop: int, seed: int = 0) -> dict[str, np.ndarray]:
    """All columns of rows [start, stop); every third row failed, every fifth is held out."""
    rows = np.arange(start, stop)
    rng = np.random.default_rng((seed, start, stop))
    failed = rows % 3 == 2
    vectors = unit_rows(len(rows), seed + start).astype(np.float16)
    vectors[failed] = 0
    return {
        "key": np.array([f"größe/{row:04d}.jpg" for row in rows]),
        "label": (rows % 3 - 1).astype(np.int32),
        "split": (rows % 5 == 4).astype(np.int8),
        "embedding": vectors,
        "digest": rng.integers(0, 256, (len(rows), 32), dtype=np.uint8),
        "stamp": rng.integers(0, 2**60, (len(rows), 2)),
        "state": np.where(failed, 2, 1).astype(np.int8),
        "reason": np.array(
            [f"bad {row}" if bad else "" for row, bad in zip(rows, failed, strict=True)]
        ),
    }


TEXT = LabelText(("cat", "dog"), ("a {}.", "the {}."), unit_rows(2, 99), 14.5)
MORE_TEXT = LabelText(("cat", "dog", "ant"), ("a {}.",), unit_rows(3, 98), 14.5)


def typed(writer: CacheWriter, values: Columns, part: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: values[name].astype(writer.cache.array(f"images/{name}").dtype) for name in part}


def write(path: Path, n: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Make a finished cache of n rows and return what is in it."""
    values = make_columns(0, n, seed)
    with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
        writer.write_text(TEXT)
        writer.grow(n)
        for part, names in PARTS.items():
            for chunk in range(writer.cache.chunks):
                span = writer.cache.span(chunk)
                rows = {name: values[name][span] for name in names}
                writer.commit(part, chunk, typed(writer, rows, names))
    return values
