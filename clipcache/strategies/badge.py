"""Ask for labels that would move the head far, and each elsewhere: BADGE (Ash et al. 2020)."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Self

import numpy as np

from clipcache.arrays import Float64, Floats, RowIds, Vectors
from clipcache.pool import Pool
from clipcache.projection import HasLogits
from clipcache.strategies.base import check_budget, each_row, vectors

__all__ = ["Badge"]

TICKETS = 4096
"""Rows that are drawn at a time."""
FEW = TICKETS // 16
"""Where fewer of them are accepted, it is time to read the whole pool again."""
ROUNDING = 1e-5
"""Share of |g|^2 + |h|^2 below which |g - h|^2 counts as 0: float32 may leave as much of two rows
that are the same, and those that differ by less than a third of a per cent teach the same."""


class Gradients(NamedTuple):
    """What b rows would do to the weights of a linear head, if its predictions were right.

    The gradient is the outer product of `residual` and `x`, c * d numbers, and is never formed:
    g.h = (q.r) (x.y) for g = q x' and h = r y'.
    """

    x: Vectors
    """(b, d) float32."""
    residual: Vectors
    """(b, c) float32: the probabilities, 1 less at the likeliest class."""
    squares: Vectors
    """(b,) float32: |g|^2."""

    @classmethod
    def of(cls, head: HasLogits, x: Vectors) -> Self:
        """Return the gradients at (b, d) float32 rows."""
        logits = head.logits(x)
        residual = np.exp(logits - logits.max(axis=1, keepdims=True))
        residual /= residual.sum(axis=1, keepdims=True)
        residual[np.arange(len(x)), logits.argmax(axis=1)] -= 1
        return cls(x, residual, _squares(x) * _squares(residual))

    def distances(self, others: Self) -> Vectors:
        """Return the (b, m) squared distances to m others."""
        both = self.squares[:, None] + others.squares
        apart = both - 2 * (self.residual @ others.residual.T) * (self.x @ others.x.T)
        clear: Vectors = np.where(apart > ROUNDING * both, apart, np.float32(0))
        return clear


@dataclass(frozen=True)
class Badge:
    """k-means++ among the gradients: first the longest, then by chance, in proportion to D^2.

    D is the distance to the nearest gradient chosen so far. The draws follow that distribution
    exactly, though the whole pool is not asked after each: D^2 only shrinks, so an old one is an
    upper bound. Rows are drawn in proportion to that bound, and each is accepted with probability
    D^2 / bound. What comes through is distributed as D^2 (rejection sampling), and only the rows
    drawn need be looked at. The first bound is (|g| + |first|)^2, which one pass gives; another
    pass follows when few are accepted.

    Reference: Ash et al. 2020, "Deep batch active learning by diverse, uncertain gradient lower
    bounds", algorithm 1; the longest first, as in the authors' program. Rejection for k-means++:
    Cohen-Addad et al. 2020, "Fast and accurate k-means++ via rejection sampling".
    """

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` rows in the order in which they are chosen.

        Where no gradient is left that differs from all chosen ones, the rest is drawn evenly.
        """
        check_budget(pool, budget)
        squares = each_row(pool, lambda part: Gradients.of(pool.head, vectors(part)).squares)
        lengths = np.sqrt(squares.astype(np.float64))
        chosen = [int(lengths.argmax())]
        bound = (lengths + lengths[chosen]) ** 2
        since = 0  # how many of the chosen ones the bound takes into account
        while len(chosen) < budget:
            bound[chosen] = 0
            total = bound.sum()
            if not total:
                left = np.setdiff1d(np.arange(len(bound)), chosen)
                chosen += rng.choice(left, budget - len(chosen), replace=False).tolist()
                break
            drawn = rng.choice(len(bound), TICKETS, p=bound / total)
            accepted = _accepted(pool, drawn, bound, chosen[since:], rng=rng)
            new = list(islice(accepted, budget - len(chosen)))
            chosen += new
            if len(new) < FEW and len(chosen) < budget:
                bound = np.minimum(bound, _distances(pool, chosen[since:]))
                since = len(chosen)
        return pool.unlabeled[chosen]


def _accepted(
    pool: Pool, drawn: RowIds, bound: Float64, unknown: list[int], *, rng: np.random.Generator
) -> Iterator[int]:
    """Yield those drawn, as places in `pool.unlabeled`, that pass with probability D^2 / bound.

    `unknown` : places chosen before that the bound knows nothing of.
    """
    places, tickets = np.unique(drawn, return_inverse=True)
    gradients = _gradients(pool, places)
    limit = bound[places]
    now = np.minimum(limit, _nearest(gradients, _gradients(pool, unknown)))
    for ticket, coin in zip(tickets.tolist(), rng.random(len(drawn)), strict=True):
        if coin * limit[ticket] < now[ticket]:
            yield int(places[ticket])
            only = Gradients(*(part[ticket : ticket + 1] for part in gradients))
            now = np.minimum(now, _nearest(gradients, only))
            now[ticket] = 0


def _distances(pool: Pool, places: list[int]) -> Floats:
    """Return (u,) squared distances of all gradients to the nearest of those at some places."""
    others = _gradients(pool, places)
    return each_row(pool, lambda part: _nearest(Gradients.of(pool.head, vectors(part)), others))


def _gradients(pool: Pool, places: RowIds | list[int]) -> Gradients:
    return Gradients.of(pool.head, pool.embeddings(pool.unlabeled[np.asarray(places, dtype=int)]))


def _squares(x: Vectors) -> Vectors:
    squares: Vectors = np.einsum("ij,ij->i", x, x)
    return squares


def _nearest(gradients: Gradients, others: Gradients) -> Vectors:
    """Return (b,) squared distances to the nearest of the others; infinity where there are none."""
    nearest: Vectors = gradients.distances(others).min(axis=1, initial=np.inf)
    return nearest
