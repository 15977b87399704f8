"""Which rows lie close together: k-means, distances, an index. The only door to FAISS."""

from typing import NamedTuple

import faiss
import numpy as np

from clipcache.arrays import RowIds, Vectors
from clipcache.errors import ArrayError
from clipcache.threads import available_threads

SMALL = 2**28
"""Products of two numbers in a pass over all rows, below which threads would mostly wait for each
other: with 200 rows and 20 clusters, two took up to a hundred times as long on a busy machine."""


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
    iterations: int = 20,
    restarts: int = 1,
    each: int = 256,
) -> Clusters:
    """Cluster (n, d) finite float32 rows by Lloyd's algorithm; the best of some restarts.

    Parameters
    ----------
    k : 1 <= k <= n. Identical rows may leave clusters empty.
    each : at most `each` * k random rows find the centroids; all rows are assigned to them.
    """
    if not 1 <= k <= len(x):
        raise ArrayError(f"{k} clusters were asked for, of {len(x)} rows")
    rows = np.ascontiguousarray(x, dtype=np.float32)
    alone = rows.size * k < SMALL  # the result is the same, bit for bit
    faiss.omp_set_num_threads(1 if alone else available_threads())
    found = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=iterations,
        nredo=restarts,
        seed=int(rng.integers(2**31)),
        min_points_per_centroid=1,  # fewer rows than FAISS would like are no reason to warn
        max_points_per_centroid=each,
    )
    found.train(rows)
    distance, cluster = found.index.search(rows, 1)
    return Clusters(
        np.asarray(found.centroids, dtype=np.float32), cluster[:, 0], np.maximum(distance[:, 0], 0)
    )


def squared_distances(x: Vectors, y: Vectors) -> Vectors:
    """Return (n, m) float32 squared Euclidean distances; FAISS's own take four times as long."""
    squared: Vectors = x @ y.T
    squared *= -2
    squared += (x * x).sum(axis=1)[:, None]
    squared += (y * y).sum(axis=1)
    return np.maximum(squared, 0, out=squared)


class Cells:
    """An index of rows by the cells of k-means: to find what is near, only near cells are read.

    A row takes d + 8 bytes, a byte a number: what it is away from its centroid, rounded. FAISS's
    IndexIVFScalarQuantizer.
    """

    def __init__(self, centroids: Vectors, sample: Vectors, *, probes: int) -> None:
        """Begin without rows.

        Parameters
        ----------
        centroids : (c, d) float32, the middles of the cells.
        sample : (m, d) float32 rows that show how far numbers are from those of their centroid.
        probes : cells that are read, the nearest ones.
        """
        c, d = centroids.shape
        self._middles = faiss.IndexFlatL2(d)  # the index below does not keep it alive
        self._middles.add(centroids)
        byte = faiss.ScalarQuantizer.QT_8bit
        self._index = faiss.IndexIVFScalarQuantizer(self._middles, d, c, byte)
        self._index.train(sample)
        self._index.nprobe = min(probes, c)

    def add(self, rows: RowIds, x: Vectors, cell: RowIds) -> None:
        """Take in (b,) rows, their (b, d) float32 vectors and the (b,) cells that they lie in."""
        parts = [np.ascontiguousarray(part) for part in (x, rows, cell)]
        self._index.add_core(len(rows), *map(faiss.swig_ptr, parts))

    def nearest(self, x: Vectors, k: int) -> RowIds:
        """Return at most `k` rows near one (d,) float32 vector, the nearest first.

        One at a time: FAISS computes many in another way, and company must not change the answer.
        """
        faiss.omp_set_num_threads(1)  # for one question, others would only wait
        _, found = self._index.search(x[None], k)
        rows: RowIds = found[0][found[0] >= 0]
        return rows
