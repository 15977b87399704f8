"""Ask where no label is near: greedy k-centre, the core-set (Sener and Savarese 2018)."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import Features, RowIds, Vectors
from clipcache.kernels.product import PackedWeights, pack_weights, product
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget, each_row

__all__ = ["KCenter"]

CANDIDATES = 2048
"""Farthest rows that are kept up to date from pick to pick; all others wait for the next pass."""
TOGETHER = 128
"""Centres that share one reading of the rows; the distances to them stay in a core's cache."""


@dataclass(frozen=True)
class KCenter:
    """Again and again the row farthest from all that are labelled or chosen, ties by row.

    Distances are Euclidean, between the embeddings. Where nothing is labelled yet, the row nearest
    to the mean (of `pool.sample`) is chosen first.

    To ask all rows after every pick would read the pool once a pick. But distances to the nearest
    centre only shrink: as long as a candidate is still farther than every other row *was*, it is
    the farthest of all. So the result is that of the plain algorithm after a few passes, of which
    each costs as much as scoring, and beyond the pool's rows only their distances are kept.

    Reference: Sener and Savarese 2018, "Active learning for convolutional neural networks: a
    core-set approach", algorithm 1; lazy as in Minoux 1978.
    """

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` rows in the order in which they are chosen; nothing is random."""
        check_budget(pool, budget)
        chosen: list[int] = []
        if len(pool.labeled):
            distance = _distances(pool, pool.embeddings(pool.labeled))
        else:
            middle = _distances(pool, pool.sample.mean[None])
            chosen = [int(middle.argmin())]
            distance = _distances(pool, pool.embeddings(pool.unlabeled[chosen]))
        distance[chosen] = -np.inf
        while len(chosen) < budget:
            new = _farthest(pool, distance, budget - len(chosen))
            chosen += new
            if len(chosen) < budget:
                later = _distances(pool, pool.embeddings(pool.unlabeled[new]))
                distance = np.minimum(distance, later)
                distance[new] = -np.inf
        return pool.unlabeled[chosen]


def _farthest(pool: Pool, distance: Vectors, most: int) -> list[int]:
    """Return the next picks, as places in `pool.unlabeled`: at least one, at most so many.

    `distance` : (u,) float32, up to date; -inf for those that are chosen already.
    """
    places, rival = np.arange(len(distance)), (-np.inf, 0)
    if len(distance) > CANDIDATES:
        floor = np.partition(distance, -CANDIDATES - 1)[-CANDIDATES - 1]
        beyond = np.flatnonzero(distance > floor)
        level = np.flatnonzero(distance == floor)[: CANDIDATES + 1 - len(beyond)]
        places = np.sort(np.concatenate([beyond, level[:-1]]))
        rival = (floor, -int(level[-1]))  # the first of those that are no candidates
    x = pool.embeddings(pool.unlabeled[places])
    near, everyone = distance[places], np.arange(len(places))
    new: list[int] = []
    while len(new) < most:
        best = int(near.argmax())
        if (near[best], -int(places[best])) <= rival:
            break  # somebody else may be farther by now
        new.append(int(places[best]))
        near = np.minimum(near, _to_nearest(x, everyone, _centers(x[best : best + 1])))
        near[best] = -np.inf
    return new


def _distances(pool: Pool, centers: Vectors) -> Vectors:
    """Return (u,) float32: how far each unlabelled row is from the nearest of (k, d), squared."""
    packed = _centers(centers)
    far = each_row(pool, lambda part: _to_nearest(part.array, part.places, packed))
    return far.astype(np.float32)


def _centers(centers: Vectors) -> list[PackedWeights]:
    """Return (k, d) centres as heads: their logits are |c|^2 - 2 x.c."""
    parts = [centers[start : start + TOGETHER] for start in range(0, len(centers), TOGETHER)]
    return [pack_weights(-2 * part.T, (part * part).sum(axis=1)) for part in parts]


def _to_nearest(array: Features | Vectors, places: RowIds, centers: list[PackedWeights]) -> Vectors:
    """Return |x - c|^2 for some rows and the nearest of the centres.

    The same pair gives the same bits in any company, so that identical rows tie.
    """
    if not array.flags.c_contiguous:  # the kernel reads where it expects them
        array, places = array[places], np.arange(len(places))
    nearest = np.full(len(places), np.inf, dtype=np.float32)
    for packed in centers:
        logits, squares = product(array, places, packed)
        nearest = np.minimum(nearest, logits.T.min(axis=0) + squares)
    return nearest
