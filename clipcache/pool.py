"""What a strategy may see: the unlabelled rows, the labels given so far, and a head to score with.

A pool is frozen and holds no true labels, so no strategy can peek.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from clipcache import scoring
from clipcache.arrays import Features, Labels, Probs, RowIds, Scores, Vectors
from clipcache.scoring import HasLogits, Measure


@dataclass
class Clock:
    """Seconds spent in scoring on behalf of a pool."""

    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows to choose from, and everything that is known about them."""

    features: Features = field(repr=False)
    """(n, d) float16: all rows of the cache."""
    head: HasLogits = field(repr=False)
    unlabeled: RowIds
    """(u,) int64, sorted: the rows that may be chosen."""
    labeled: RowIds
    """(l,) int64: the rows whose label is known."""
    labels: Labels
    """(l,) int64: their classes."""
    clock: Clock = field(default_factory=Clock, repr=False)

    def top(self, measure: Measure, m: int) -> tuple[RowIds, Scores]:
        """Return the `m` unlabelled rows with the highest scores, best first, ties by row."""
        began = time.perf_counter()
        best = scoring.top(self.features, self.unlabeled, self.head, measure, m)
        self.clock.seconds += time.perf_counter() - began
        return best

    def score(self, measure: Measure) -> Scores:
        """Return the (u,) float32 scores of the unlabelled rows."""
        began = time.perf_counter()
        scores = scoring.score(self.features, self.unlabeled, self.head, measure)
        self.clock.seconds += time.perf_counter() - began
        return scores

    def probs(self, rows: RowIds) -> Probs:
        """Return the (m, c) float32 class probabilities of some rows."""
        logits = self.head.logits(self.embeddings(rows))
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probs: Probs = powers / powers.sum(axis=1, keepdims=True)
        return probs

    def embeddings(self, rows: RowIds) -> Vectors:
        """Return the (m, d) float32 vectors of some rows."""
        return self.features[rows].astype(np.float32)

    def blocks(self) -> Iterator[tuple[RowIds, Vectors]]:
        """Yield all unlabelled rows and their float32 vectors, a block at a time."""
        return scoring.blocks(self.features, self.unlabeled)

    def restrict(self, rows: RowIds) -> Self:
        """Return the same pool with only those unlabelled rows that are in `rows`.

        The report's subsample is `pool.restrict(300 random rows)`; nothing else differs.
        """
        return replace(self, unlabeled=np.intersect1d(self.unlabeled, rows))
