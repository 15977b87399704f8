"""What every acquisition strategy promises."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from clipcache.arrays import Floats, RowIds, Vectors
from clipcache.contenders import not_a_number
from clipcache.errors import ArrayError
from clipcache.features import PART, Segment, each_segment
from clipcache.pool import Pool
from clipcache.threads import one_thread


class Strategy(Protocol):
    """Chooses which rows to label next. A frozen dataclass: its fields are its parameters."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` distinct unlabelled rows, the most wanted first.

        Deterministic in (pool, budget, rng). Raises ArrayError where the pool holds fewer rows.
        """
        ...


def check_budget(pool: Pool, budget: int) -> None:
    """Raise ArrayError unless 1 <= budget <= number of unlabelled rows."""
    if not 1 <= budget <= len(pool.unlabeled):
        raise ArrayError(
            f"a batch of {budget} was asked for, but {len(pool.unlabeled)} unlabelled rows are left"
        )


def each_row(pool: Pool, work: Callable[[Segment], Floats]) -> Floats:
    """Return (u,) what `work` makes of the unlabelled rows, handed to several threads in parts.

    Raises ArrayError naming the rows for which that is not finite: they would win or lose unseen.
    """

    def visit(segment: Segment) -> Floats:
        cuts = [slice(start, start + PART) for start in range(0, len(segment.rows), PART)]
        parts = [
            Segment(
                segment.start + cut.start, segment.rows[cut], segment.array, segment.places[cut]
            )
            for cut in cuts
        ]
        return np.concatenate([work(part) for part in parts])

    # A library's own threads would fight with ours for the processors.
    with one_thread():
        done = each_segment(pool.features, pool.unlabeled, visit)
        found = np.concatenate([values for _, values in done])
    wrong = ~np.isfinite(found)
    if wrong.any():
        raise ArrayError(not_a_number(pool.unlabeled[wrong]))
    return found


def vectors(segment: Segment) -> Vectors:
    """Return the (m, d) float32 vectors of the rows of a segment."""
    return segment.array[segment.places].astype(np.float32)


def turns(cluster: RowIds) -> RowIds:
    """Return how many rows of its own cluster come before each row, (m,) int64.

    The rows with 0 are one from each cluster, those with 1 another, and so on.
    """
    order = np.argsort(cluster, kind="stable")
    grouped = cluster[order]
    before = np.empty_like(cluster)
    before[order] = np.arange(len(cluster)) - np.searchsorted(grouped, grouped)
    return before
