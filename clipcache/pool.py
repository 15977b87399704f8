"""What a strategy may see: the unlabelled rows, the labels given so far, and a head to score with.

A pool is frozen and holds no true labels, so no strategy can peek.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
from scipy.special import softmax

from clipcache import scoring
from clipcache.arrays import Labels, Probs, RowIds, Scores, Vectors
from clipcache.committee import dropout_committee
from clipcache.contenders import not_a_number
from clipcache.errors import ArrayError
from clipcache.features import PART, Rows
from clipcache.kernels.measure import Measure
from clipcache.projection import HasLogits
from clipcache.whitening import PoolSample


@dataclass
class Clock:
    """Seconds spent in scoring on behalf of a pool."""

    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows to choose from, and everything that is known about them."""

    features: Rows = field(repr=False)
    """(n, d) float16: all rows of the cache, in memory or on disk."""
    head: HasLogits = field(repr=False)
    unlabeled: RowIds
    """(u,) int64, sorted: the rows that may be chosen."""
    labeled: RowIds
    """(l,) int64: the rows whose label is known."""
    labels: Labels
    """(l,) int64: their classes."""
    sample: PoolSample = field(repr=False)
    """Rows of the whole pool, labelled ones among them, that say how images lie."""
    clock: Clock = field(default_factory=Clock, repr=False)

    def top(self, measure: Measure, m: int) -> tuple[RowIds, Scores]:
        """Return the `m` unlabelled rows with the highest scores, best first, ties by row."""
        began = time.perf_counter()
        best = scoring.top(self.features, self.unlabeled, self.head, measure, m)
        self.clock.seconds += time.perf_counter() - began
        return best

    def score(self, measure: Measure) -> Scores:
        """Return the (u,) float32 scores of the unlabelled rows.

        For a strategy of yours that weighs all rows, to draw in proportion to their scores, say;
        one that wants the best asks `top`, which keeps no others in memory.
        """
        began = time.perf_counter()
        scores = scoring.score(self.features, self.unlabeled, self.head, measure)
        self.clock.seconds += time.perf_counter() - began
        return scores

    def shortlist(self, rows: RowIds, k: int = 5) -> tuple[Labels, Probs]:
        """Return (m, k) classes of some rows, the likeliest first, and their probabilities."""
        return scoring.shortlist(self.features, rows, self.head, k)

    def embeddings(self, rows: RowIds) -> Vectors:
        """Return the (m, d) float32 vectors of some rows."""
        return self.features[rows].astype(np.float32)

    def whitened(self, rows: RowIds) -> Vectors:
        """Return the (m, d) float32 unit vectors of some rows in the whitened space.

        Raises ArrayError naming the rows that are not finite.
        """
        x = np.empty((len(rows), self.features.shape[1]), dtype=np.float32)
        for start in range(0, len(rows), PART):
            part = slice(start, start + PART)
            x[part] = self.sample.whitening(self.embeddings(rows[part]))
        wrong = ~np.isfinite(x.sum(axis=1))
        if wrong.any():
            raise ArrayError(not_a_number(rows[wrong]))
        return x

    def probs(self, rows: RowIds) -> Probs:
        """Return the (m, c) float32 probabilities of some rows."""
        probs: Probs = softmax(self.head.logits(self.embeddings(rows)), axis=1)
        return probs

    @property
    def classes(self) -> int:
        """How many classes the head tells apart."""
        return int(self.probs(self.unlabeled[:1]).shape[1])

    def committee(self, members: int, dropout: float, *, rng: np.random.Generator) -> Self:
        """Return the same pool with `members` heads side by side, for measures of disagreement.

        Each is the pool's head, blind to a random share `dropout` of the dimensions.
        """
        d = self.features.shape[1]
        return replace(self, head=dropout_committee(self.head, members, dropout, d, rng=rng))

    def restrict(self, rows: RowIds) -> Self:
        """Return the same pool with only those unlabelled rows that are in `rows`.

        The report's subsample is `pool.restrict(300 random rows)`; nothing else differs.
        """
        return replace(self, unlabeled=np.intersect1d(self.unlabeled, rows))
