"""Whitening: a space in which no direction counts more than another because of its spread.

CLIP's vectors lie in a narrow cone and vary most in ways that no class depends on. Distances say
more about classes once that variation is divided out.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cholesky, solve_triangular

from clipcache.arrays import Float64, Floats, RowIds, Vectors
from clipcache.features import Rows
from clipcache.threads import one_thread

SHRINKAGE = 1.0
"""What is added to each variance, in units of their mean: directions that hardly vary in a sample
are not blown up (Ledoit and Wolf 2004 shrink in the same way, with another amount)."""
EACH, FEWEST, MOST = 64, 4096, 16_384
"""Rows of a pool that teach: so many for each class, within these bounds. With a quarter of them a
class, heads were worse on real features; on a pool of 246,841, four times as many changed nothing
but the time of a fit."""


def unit(x: Floats) -> Vectors:
    """Return float32 rows of length 1; a row of zeros stays what it is."""
    lengths = np.sqrt((x * x).sum(axis=1, keepdims=True))
    return (x / np.where(lengths > 0, lengths, 1)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Whitening:
    """The linear map x -> (x - mean) @ matrix, followed by scaling to length 1."""

    mean: Vectors
    """(d,) float32."""
    matrix: npt.NDArray[np.float32]
    """(d, d) float32."""

    @classmethod
    def of(cls, mean: Vectors, covariance: Float64, ridge: float) -> Self:
        """Return the map that takes `covariance` + `ridge` to the identity.

        `covariance` is (d, d), symmetric and positive semi-definite; `ridge` > 0 is in its unit.
        """
        d = len(covariance)
        with one_thread():  # the result must not depend on the number of threads
            lower = cholesky(covariance + ridge * np.eye(d), lower=True)
            matrix = solve_triangular(lower, np.eye(d), lower=True).T
        return cls(mean, np.ascontiguousarray(matrix, dtype=np.float32))

    def __call__(self, x: Vectors) -> Vectors:
        """Return (b, d) float32 unit rows for (b, d) float32 rows."""
        return unit((x - self.mean) @ self.matrix)


@dataclass(frozen=True, eq=False)
class PoolSample:
    """Rows of the pool, labelled or not, that show heads and strategies how images lie."""

    features: Rows = field(repr=False)
    rows: RowIds

    @classmethod
    def draw(cls, features: Rows, rows: RowIds, classes: int, *, rng: np.random.Generator) -> Self:
        """Return all of `rows`, or random ones where there are more than are needed."""
        size = min(max(EACH * classes, FEWEST), MOST)
        if len(rows) > size:
            rows = np.sort(rng.choice(rows, size, replace=False))
        return cls(features, rows)

    @cached_property
    def _clean(self) -> tuple[RowIds, Vectors]:
        x = self.features[self.rows].astype(np.float32)
        finite = np.isfinite(x).all(axis=1)
        rows, x = self.rows[finite], np.ascontiguousarray(x[finite])
        _, first = np.unique(x.view(f"V{x.itemsize * x.shape[1]}"), return_index=True)
        first.sort()
        return rows[first], x[first]

    @property
    def distinct(self) -> RowIds:
        """(p,) the rows, without those that hold a NaN or an infinity, and without copies.

        Ten thousand copies of one image say no more about the spread of images than one does.
        """
        return self._clean[0]

    @property
    def vectors(self) -> Vectors:
        """(p, d) float32: the `distinct` rows."""
        return self._clean[1]

    @cached_property
    def mean(self) -> Vectors:
        """(d,) float32."""
        total = self.vectors.sum(axis=0, dtype=np.float64)
        mean: Vectors = (total / max(len(self.vectors), 1)).astype(np.float32)
        return mean

    @cached_property
    def covariance(self) -> Float64:
        """(d, d) float64, of all rows around `mean`."""
        x = self.vectors - self.mean
        with one_thread():
            return (x.T @ x).astype(np.float64) / max(len(x), 1)

    @cached_property
    def ridge(self) -> float:
        """What is added to each variance; where nothing varies, the scale does not matter."""
        return SHRINKAGE * float(np.trace(self.covariance)) / len(self.covariance) or 1.0

    @cached_property
    def whitening(self) -> Whitening:
        """The map that takes the spread of all rows to the identity, roughly."""
        return Whitening.of(self.mean, self.covariance, self.ridge)

    @cached_property
    def whitened(self) -> Vectors:
        """(p, d) float32 unit rows."""
        return self.whitening(self.vectors)
