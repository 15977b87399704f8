"""Ask where predictions break when dimensions are missing: DropQuery (Gupte et al. 2024)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clipcache.arrays import RowIds, Vectors
from clipcache.features import Segment
from clipcache.kernels.margin import margin
from clipcache.neighbors import kmeans
from clipcache.pool import Pool
from clipcache.projection import HasLogits
from clipcache.strategies.base import check_budget, each_row, turns, vectors

__all__ = ["DropQuery"]

Mask = npt.NDArray[np.bool_]

EACH = 64
"""Candidates a cluster; where there are more in all, a random sample of so many is clustered. On
two thirds of a pool of 250,000 rows k-means would take a minute."""


@dataclass(frozen=True)
class DropQuery:
    """The middles of `budget` clusters of rows whose prediction does not survive dropout.

    A row is a candidate where more than half of its copies, each without a random share of the
    dimensions, are given another class than the row itself. As in the paper each copy of each row
    has a mask of its own: a mask that all rows shared (`Pool.committee`) would be faster to apply,
    but an unlucky one would make candidates of whole classes.

    Reference: Gupte, Aklilu, Nirschl, Yeung-Levy 2024, "Revisiting active learning in the era of
    vision foundation models", algorithm 1.
    """

    copies: int = 3
    dropout: float = 0.75
    """Share of the dimensions that a copy lacks."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` rows, those nearest to the middle of their cluster first.

        Where identical rows leave clusters empty, other candidates follow, and where there are too
        few candidates, the rows with the smallest margins.
        """
        check_budget(pool, budget)
        candidates = self._candidates(pool, rng)
        if len(candidates) > EACH * budget:
            candidates = np.sort(rng.choice(candidates, EACH * budget, replace=False))
        if len(candidates) > budget:
            found = kmeans(pool.embeddings(candidates), budget, rng=rng)
            order = np.argsort(found.distance, kind="stable")
            one_each = np.argsort(turns(found.cluster[order]) > 0, kind="stable")
            candidates = candidates[order[one_each]]
        if len(candidates) < budget:
            unsure, _ = pool.top(margin, budget)
            others = unsure[np.isin(unsure, candidates, invert=True)]
            candidates = np.concatenate([candidates, others])
        return candidates[:budget]

    def _candidates(self, pool: Pool, rng: np.random.Generator) -> RowIds:
        """Return the rows that most copies are taken for something else, sorted."""
        seed = int(rng.integers(2**63))
        votes = each_row(pool, lambda part: self._votes(pool.head, part, seed))
        return pool.unlabeled[2 * votes > self.copies]

    def _votes(self, head: HasLogits, part: Segment, seed: int) -> Vectors:
        """Return how many copies of each row are given another class; NaN where it has none."""
        x = vectors(part)
        logits = head.logits(x)
        own = logits.argmax(axis=1)
        votes = np.where(np.isnan(logits).any(axis=1), np.float32(np.nan), np.float32(0))
        x /= np.float32(1 - self.dropout)
        for kept in self._masks(part.start, x.shape, seed):
            votes += head.logits(x * kept).argmax(axis=1) != own
        return votes

    def _masks(self, start: int, shape: tuple[int, int], seed: int) -> Iterator[Mask]:
        """Yield a (b, d) mask a copy. A row's masks hang on its place alone, not on a block.

        A byte a dimension, so that `dropout` counts in steps of 1/256.
        """
        b, d = shape
        words = -(-self.copies * d // 8)  # a row's share of the generator's 64-bit numbers
        least = round(256 * self.dropout)
        numbers = np.random.PCG64(seed).advance(start * words).random_raw(b * words)
        lots = numbers.view(np.uint8).reshape(b, -1)
        for copy in range(self.copies):
            yield lots[:, copy * d : (copy + 1) * d] >= least
