"""Who may still be among the best k, when scores are only known to lie in an interval.

Let every row have an exact score s, of which we know low <= s <= high, and let `floor` be the k-th
largest `low` of any rows seen so far. At least k rows have s >= low >= floor. A row with high <
floor has s < floor, so at least k rows are strictly before it, and it cannot be one of the best k,
whatever the ties. All others are kept, and when everything has been seen, the exact scores of those
whose interval is not a point decide. So the result is that of sorting all exact scores: it depends
neither on the order in which rows are offered, nor on how good the intervals were, only the time
it takes does.
"""

from collections.abc import Callable
from threading import Lock

import numpy as np

from clipcache.arrays import Float64, Floats, RowIds
from clipcache.errors import ArrayError

SPARE = 65_536
"""Contenders beyond 4 k that are kept before exact scores are asked for: a bound on memory, which
only many near-ties reach."""


class Contenders:
    """The rows that may be among the best `k`. Threads may offer at the same time."""

    def __init__(self, k: int, without: RowIds, exact: Callable[[RowIds], Float64]) -> None:
        if k < 0:
            raise ArrayError(f"{k} rows were asked for; ask for 0 or more")
        self.k = k
        self._without = without
        self._exact = exact
        self._lock = Lock()
        self._floor = -np.inf
        self._rows = np.empty(0, dtype=np.int64)
        self._low = self._high = np.empty(0)
        self._new: list[tuple[RowIds, Floats, Floats]] = []
        self._waiting = 0

    def offer(self, rows: RowIds, scores: Floats, slack: Floats | float) -> None:
        """Consider rows whose exact scores lie within `slack` of `scores`; NaN means anywhere.

        The sum is formed in float32 where both are, so `slack` must allow for its rounding.
        """
        if not self.k:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            high = scores + slack
        # Another thread may raise the floor meanwhile: then some are kept longer than need be.
        place = np.flatnonzero(~(high < self._floor))
        if len(self._without):
            place = place[np.isin(rows[place], self._without, invert=True)]
        if not len(place):
            return
        high, middle = high[place].astype(np.float64), scores[place].astype(np.float64)
        with np.errstate(invalid="ignore"):
            low = 2 * middle - high
        low[np.isnan(low)], high[np.isnan(high)] = -np.inf, np.inf
        with self._lock:
            self._new.append((rows[place], low, high))
            self._waiting += len(place)
            if self._waiting > self.k // 4:
                self._settle()
                if len(self._rows) > 4 * self.k + SPARE:
                    self._decide()

    def best(self) -> tuple[RowIds, Float64]:
        """Return the best k rows and their exact scores, best first, ties by row."""
        self._settle()
        self._decide()
        return self._rows, self._low

    def _settle(self) -> None:
        """Raise the floor and drop who is below it."""
        self._rows, self._low, self._high = (
            np.concatenate(parts)
            for parts in zip((self._rows, self._low, self._high), *self._new, strict=True)
        )
        self._new, self._waiting = [], 0
        if len(self._rows) >= self.k > 0:
            place = len(self._low) - self.k
            self._floor = np.partition(self._low, place)[place]
        keep = self._high >= self._floor
        self._rows, self._low, self._high = self._rows[keep], self._low[keep], self._high[keep]

    def _decide(self) -> None:
        """Ask for the exact scores that are not known yet and keep the best k."""
        open_ = self._low < self._high
        self._low[open_] = self._exact(self._rows[open_])
        if np.isnan(self._low).any():
            raise ArrayError(not_a_number(self._rows[np.isnan(self._low)]))
        order = np.lexsort((self._rows, -self._low))[: self.k]
        self._rows, self._low = self._rows[order], self._low[order]
        self._high = self._low.copy()
        if len(self._rows) == self.k > 0:
            self._floor = self._low[-1]


def not_a_number(rows: RowIds) -> str:
    """Say which rows have no score, and what to do."""
    named = ", ".join(map(str, np.sort(rows)[:5].tolist()))
    return (
        f"the score of {len(rows)} rows is not a number (rows {named}{', ...' * (len(rows) > 5)}): "
        "their embeddings or the head hold NaN or infinity; `clipcache verify` checks the cache"
    )
