"""The made-up images of `synthetic.py` in caches that know few labels or none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from clipcache.arrays import Labels
from clipcache.cache.layout import PARTS
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from tests.synthetic import CHUNK_ROWS, columns, identity, text


def truth(n: int = 600, classes: int = 8) -> Labels:
    """Return the class of every row, which the cache keeps to itself."""
    rows = np.arange(n)
    return np.array([int(np.random.default_rng((0, row)).integers(classes)) for row in rows])


def write_unlabelled(
    path: Path,
    n: int = 600,
    classes: int = 8,
    *,
    known: Callable[[int], bool] = lambda row: False,
    held_out: bool = True,
    named: bool = True,
) -> EmbeddingCache:
    """Write a cache in which only rows that are `known` have a label; none is in the test split
    without `held_out`, and the class names have no vectors without `named`."""
    values = columns(n, classes)
    labels = [label if known(row) else -1 for row, label in enumerate(truth(n, classes).tolist())]
    values["label"] = np.array(labels, dtype=np.int32)
    if not held_out:
        values["split"][:] = 0
    with CacheWriter.open(path, identity(), chunk_rows=CHUNK_ROWS) as writer:
        writer.grow(n)
        for chunk in range(writer.cache.chunks):
            rows = writer.cache.span(chunk)
            for part, names in PARTS.items():
                writer.commit(part, chunk, {name: values[name][rows] for name in names})
        if named:
            writer.write_text(text(classes))
    return EmbeddingCache.open(path)
