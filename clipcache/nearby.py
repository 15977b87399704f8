"""The rows of a pool that are near some of them, from an index that all rounds share.

To look through a pool for neighbours costs as much as to score it. So the pool is looked through
once: a row becomes `COMPONENTS` numbers of a byte each, and lies in one of many cells, of which a
later question reads a few (`neighbors.Cells`).
"""

import math
import weakref

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Features, RowIds, Vectors
from clipcache.contenders import not_a_number
from clipcache.errors import ArrayError
from clipcache.features import PART, Rows, Segment, each_segment
from clipcache.kernels.product import PackedWeights, pack_weights, product
from clipcache.neighbors import Cells, kmeans
from clipcache.threads import one_thread

COMPONENTS = 64
"""Principal components that are kept."""
SAMPLE = 16_384
"""Random rows that show where the components and the cells are."""
PROBES = 8
"""Cells that are read for a row."""
ITERATIONS = 10

_indexes: "dict[int, PoolIndex]" = {}
"""The index of each array of features that is alive, by its id."""


class PoolIndex:
    """What is near a row, among some rows of a cache. The same whatever the number of threads.

    The rows themselves are not kept: whoever asks brings them again.
    """

    def __init__(self, features: Rows, inside: npt.NDArray[np.bool_]) -> None:
        """Look through the rows once; ArrayError naming those that are not finite.

        `inside` : (n,) which rows are in the index, at least one.
        """
        self.inside = inside
        self._near: dict[tuple[int, int], RowIds] = {}
        rows, rng = np.flatnonzero(inside), np.random.default_rng(0)
        some = rows
        if len(rows) > SAMPLE:
            some = np.sort(rng.choice(rows, SAMPLE, replace=False))
        sample = features[some].astype(np.float32)
        sample[~np.isfinite(sample).all(axis=1)] = 0  # they are named below, with all others
        directions = principal(sample, COMPONENTS)
        self._turn = pack_weights(directions, np.zeros(directions.shape[1], dtype=np.float32))
        low = _times(sample, np.arange(len(sample)), self._turn)
        cells = max(1, math.isqrt(len(rows)) // 4)
        centroids = kmeans(low, cells, rng=rng, iterations=ITERATIONS).centroids
        # Of |x - m|^2 = |x|^2 + |m|^2 - 2 x.m the first part is the same for all cells.
        self._middles = pack_weights(centroids.T, -(centroids * centroids).sum(axis=1) / 2)
        self._cells = Cells(centroids, low, probes=PROBES)
        wrong = self._fill(features, rows)
        if len(wrong):
            raise ArrayError(not_a_number(wrong))

    def near(self, features: Rows, rows: RowIds, k: int) -> RowIds:
        """Return the distinct rows that are among the `k` nearest of any of `rows`, sorted.

        A row is near itself. What was found for a row is kept: 8 * k bytes.
        """
        new = np.array([row for row in rows.tolist() if (row, k) not in self._near], dtype=np.int64)
        if len(new):
            low = _times(features[new], np.arange(len(new)), self._turn)
            for row, x in zip(new.tolist(), low, strict=True):
                self._near[row, k] = self._cells.nearest(x, k)
        found = [self._near[row, k] for row in rows.tolist()]
        return np.unique(np.concatenate([rows[:0], *found]))

    def _fill(self, features: Rows, rows: RowIds) -> RowIds:
        """Put all rows into their cells, and return those that are not finite."""
        wrong = [rows[:0]]
        for segment, (low, cell) in each_segment(features, rows, self._place):
            wrong.append(segment.rows[~np.isfinite(low).all(axis=1)])
            self._cells.add(segment.rows, low, cell)
        return np.concatenate(wrong)

    def _place(self, segment: Segment) -> tuple[Vectors, RowIds]:
        """Return (m, 64) float32 components of the rows of a segment, and their (m,) cells."""
        low = _times(segment.array, segment.places, self._turn)
        parts = [
            product(low, np.arange(start, min(start + PART, len(low))), self._middles)[0]
            for start in range(0, len(low), PART)
        ]
        return low, np.concatenate([part.argmax(axis=1) for part in parts])


def index_of(features: Rows, *rows: RowIds) -> PoolIndex:
    """Return the index of some rows (given in parts), which must never change.

    It is built when the rows are asked for that had no index, and goes when `features` goes. Other
    rows of the same features take its place.
    """
    inside = np.zeros(features.shape[0], dtype=np.bool_)
    for part in rows:
        inside[part] = True
    key = id(features)
    if key not in _indexes or not np.array_equal(_indexes[key].inside, inside):
        index = PoolIndex(features, inside)
        if key not in _indexes:
            weakref.finalize(features, _indexes.pop, key, None)
        _indexes[key] = index
    return _indexes[key]


def principal(x: Vectors, components: int) -> Vectors:
    """Return (d, m) float32 directions in which (n, d) rows vary most, at most so many."""
    apart = x - x.mean(axis=0)
    with one_thread():  # the result must not depend on the number of threads
        _, directions = np.linalg.eigh((apart.T @ apart).astype(np.float64))
    return np.ascontiguousarray(directions[:, ::-1][:, :components], dtype=np.float32)


def _times(array: Features | Vectors, places: RowIds, weights: PackedWeights) -> Vectors:
    """Return (m, c) float32 products of some rows: the same bits for a row in any company."""
    if not array.flags.c_contiguous:  # the kernel reads where it expects them
        array, places = array[places], np.arange(len(places))
    return np.ascontiguousarray(product(array, places, weights)[0])
