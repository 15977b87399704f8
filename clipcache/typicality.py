"""Typicality: rows that stand for many others (Hacohen, Dekel, Weinshall 2022).

"Active learning on a budget: opposite strategies suit high and low budgets." Only vectors are
needed and no head, so that a cold start can be chosen in this way too.
"""

import heapq
from collections.abc import Iterator

import numpy as np

from clipcache.arrays import RowIds, Scores, Vectors
from clipcache.neighbors import kmeans, squared_distances

CLUSTERS = 500
"""Clusters at most, as the authors."""
SMALL = 5
"""Clusters of so many rows or fewer are noise to the authors; they come last here."""
NEIGHBORS = 20
"""Rows to which the distance is measured, as the authors."""
EACH = 64
"""Random rows a cluster that find the centroids. 256 take four times as long, and bring the rows of
a pool hardly closer to their centroids (by less than a per cent)."""
ITERATIONS = 10
MEMBERS = 1024
"""Random rows of a larger cluster that are compared with each other, and may be chosen first: the
densest place of a cluster is known from so many."""
BLOCK = 4096
"""Rows that are compared with the centroids at a time."""


def typical(x: Vectors, budget: int, *, known: RowIds, rng: np.random.Generator) -> RowIds:
    """Return `budget` places in `x`: the most typical row of each cluster that has no label yet.

    As many clusters as there will be labels, `CLUSTERS` at most.

    Parameters
    ----------
    x : (n, d) finite float32.
    budget : 1 <= budget <= n - l.
    known : (l,) int64, the places of rows with a label: they cover their clusters.

    Returns
    -------
    (budget,) int64 distinct places, the most wanted first; none of them in `known`.
    """
    cluster = _clusters(x, min(len(known) + budget, CLUSTERS), rng)
    return most_typical(x, cluster, budget, known=known, rng=rng)


def most_typical(
    x: Vectors, cluster: RowIds, budget: int, *, known: RowIds, rng: np.random.Generator
) -> RowIds:
    """Return what `typical` does, for (n,) given clusters.

    One with the fewest labels, of these the largest, gives its most typical row; that row counts as
    labelled, and again.
    """
    sizes = np.bincount(cluster).tolist()
    labels = np.bincount(cluster[known], minlength=len(sizes)).tolist()
    queue = [(sizes[c] <= SMALL, labels[c], -sizes[c], c) for c in range(len(sizes))]
    heapq.heapify(queue)
    # The authors leave labelled rows out here: what is dense because of them is covered.
    free = np.ones(len(x), dtype=np.bool_)
    free[known] = False
    waiting: dict[int, Iterator[int]] = {}
    chosen: list[int] = []
    while len(chosen) < budget:
        small, count, size, c = heapq.heappop(queue)
        if c not in waiting:
            waiting[c] = iter(_by_typicality(x, np.flatnonzero(free & (cluster == c)), rng))
        if (place := next(waiting[c], None)) is not None:
            chosen.append(place)
            heapq.heappush(queue, (small, count + 1, size, c))
    return np.array(chosen, dtype=np.int64)


def typicality(x: Vectors) -> Scores:
    """Return (n,) 1 / mean Euclidean distance to the `NEIGHBORS` nearest other rows of `x`.

    To all others, where there are fewer; infinite where they are all the same, or nobody is there.
    """
    k = min(NEIGHBORS, len(x) - 1)
    if k < 1:
        return np.full(len(x), np.inf, dtype=np.float32)
    squared = squared_distances(x, x)
    np.fill_diagonal(squared, np.inf)  # nobody is their own neighbour
    near = np.sqrt(np.partition(squared, k - 1, axis=1)[:, :k])
    with np.errstate(divide="ignore"):
        found: Scores = 1 / near.mean(axis=1)
    return found


def _clusters(x: Vectors, k: int, rng: np.random.Generator) -> RowIds:
    """Return the (n,) clusters of the rows, in [0, k); some may be empty."""
    sample = x
    if len(x) > EACH * k:
        sample = x[np.sort(rng.choice(len(x), EACH * k, replace=False))]
    # Two centroids in one cloud are bad luck; while there are few, another try costs little.
    found = kmeans(
        sample, k, rng=rng, iterations=ITERATIONS, restarts=min(10, 1 + 100 // k), each=EACH
    )
    blocks = (x[start : start + BLOCK] for start in range(0, len(x), BLOCK))
    return np.concatenate([squared_distances(b, found.centroids).argmin(axis=1) for b in blocks])


def _by_typicality(x: Vectors, places: RowIds, rng: np.random.Generator) -> list[int]:
    """Return the places, the most typical first; in a large cluster, those of a sample."""
    rest = places[:0]
    if len(places) > MEMBERS:
        shuffled = rng.permutation(places)
        places, rest = np.sort(shuffled[:MEMBERS]), shuffled[MEMBERS:]
    order = np.argsort(-typicality(x[places]), kind="stable")
    return [*places[order].tolist(), *rest.tolist()]
