"""Which rows lie close together: k-means and nearest neighbours. The only door to FAISS."""

from typing import NamedTuple

import faiss
import numpy as np

from clipcache.arrays import RowIds, Vectors
from clipcache.errors import ArrayError
from clipcache.threads import available_threads


class Clusters(NamedTuple):
    """What k-means found."""

    centroids: Vectors
    """(k, d) float32."""
    cluster: RowIds
    """(n,) int64 in [0, k): the nearest centroid of each row."""
    distance: Vectors
    """(n,) float32: squared Euclidean distance to it."""


def kmeans(
    x: Vectors,
    k: int,
    *,
    rng: np.random.Generator,
    weights: Vectors | None = None,
    iterations: int = 20,
    restarts: int = 1,
    each: int = 256,
) -> Clusters:
    """Cluster (n, d) finite float32 rows by Lloyd's algorithm; the best of some restarts.

    Parameters
    ----------
    k : 1 <= k <= n. Identical rows may leave clusters empty.
    weights : (n,) float32, how much each row counts.
    each : at most `each` * k random rows find the centroids; all rows are assigned to them.
    """
    if not 1 <= k <= len(x):
        raise ArrayError(f"{k} clusters were asked for, of {len(x)} rows")
    rows = np.ascontiguousarray(x, dtype=np.float32)
    faiss.omp_set_num_threads(available_threads())
    found = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        nredo=restarts,
        seed=int(rng.integers(2**31)),
        min_points_per_centroid=1,  # fewer rows than FAISS would like are no reason to warn
        max_points_per_centroid=each,
    )
    found.train(rows, weights=weights)
    distance, cluster = found.index.search(rows, 1)
    return Clusters(
        np.asarray(found.centroids, dtype=np.float32), cluster[:, 0], np.maximum(distance[:, 0], 0)
    )


def nearest(x: Vectors, queries: Vectors, k: int) -> tuple[Vectors, RowIds]:
    """Return the `k` of the rows `x` that are nearest to each query, nearest first, exactly.

    Parameters
    ----------
    x, queries : (n, d) and (q, d) finite float32.
    k : 1 <= k <= n.

    Returns
    -------
    distance : (q, k) float32, squared Euclidean.
    place : (q, k) int64 places in `x`.
    """
    if not 1 <= k <= len(x):
        raise ArrayError(f"{k} neighbours were asked for, of {len(x)} rows")
    faiss.omp_set_num_threads(available_threads())
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(np.ascontiguousarray(x, dtype=np.float32))
    distance, place = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
    return np.maximum(distance, 0), place
