"""A head over the whole pool, block by block: rows to float32, logits, measure, best k.

The logits of the pool never exist as a whole; memory is one block and the k best so far.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from clipcache.arrays import Features, Logits, RowIds, Scores, Vectors
from clipcache.errors import ArrayError
from clipcache.selection import top_k

BLOCK = 2048
"""Rows scored at a time: 2,048 x 512 float32 (4 MB) and their logits stay in a core's cache."""

Measure = Callable[[Logits], Scores]
"""From (b, c) logits to (b,) scores; higher means sooner. The kernels are measures."""


class HasLogits(Protocol):
    """The one thing that scoring asks of a fitted head."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) float32 for (b, d) float32."""
        ...


def blocks(features: Features, rows: RowIds) -> Iterator[tuple[RowIds, Vectors]]:
    """Yield (rows, vectors) of at most `BLOCK` rows each, as float32, in the order of `rows`."""
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        yield part, features[part].astype(np.float32)


def score(features: Features, rows: RowIds, head: HasLogits, measure: Measure) -> Scores:
    """Return the (k,) float32 scores of the given rows; ArrayError where one is NaN."""
    parts = [_measure(part, head.logits(block), measure) for part, block in blocks(features, rows)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)


def top(
    features: Features, rows: RowIds, head: HasLogits, measure: Measure, k: int
) -> tuple[RowIds, Scores]:
    """Return the `k` of the given rows with the highest scores, best first, ties by row.

    Raises ArrayError where a score is NaN: it would be a silent winner or loser.
    """
    best_rows, best = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    for part, block in blocks(features, rows):
        scores = _measure(part, head.logits(block), measure)
        best_rows, best = top_k(
            np.concatenate([best, scores]), np.concatenate([best_rows, part]), k
        )
    return best_rows, best


def _measure(rows: RowIds, logits: Logits, measure: Measure) -> Scores:
    scores = measure(logits)
    bad = np.isnan(scores)
    if bad.any():
        raise ArrayError(
            f"the score of {int(bad.sum())} rows is not a number, row {rows[bad][0]} the first; "
            "their embeddings or the head hold NaN or infinity: `clipcache verify` checks the cache"
        )
    return scores
