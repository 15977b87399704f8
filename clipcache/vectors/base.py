"""What embeddings made elsewhere consist of, in whatever files they were kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Labels, Vectors
from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, Item, Source, Stamp

Raw = npt.NDArray[np.floating[Any]]
"""(k, d) rows as they were made: float16, float32 or float64, of any length."""


class Matrix(Protocol):
    """Rows that are read piece by piece, in memory or on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """One of float16, float32 and float64."""
        ...

    def __getitem__(self, rows: slice, /) -> Raw:
        """Return some consecutive rows."""
        ...


@dataclass(frozen=True, eq=False)
class ListedRows:
    """A source of images of which there are only vectors: what each is called and what it shows."""

    keys: Iterable[str]
    """One a row; looped over several times."""
    labels: Labels
    """(n,) int64 indices into `names`, -1 unknown."""
    names: tuple[str, ...]
    held_out: int | None = None
    """The first row of the test split, which goes on to the end; None where there is none."""

    def __iter__(self) -> Iterator[Item]:
        """Yield every row."""
        first = len(self.labels) if self.held_out is None else self.held_out
        # Not strict: whoever loops again notices that a file of keys has changed, and says so.
        for row, (key, label) in enumerate(zip(self.keys, self.labels, strict=False)):
            name = self.names[label] if label >= 0 else None
            yield Item(key, name, "pool" if row < first else "test")

    def class_names(self) -> tuple[str, ...]:
        """Return the class names, in the order that the labels count in."""
        return self.names

    def stamp(self, key: str) -> Stamp:
        """Return MISSING: no row has a file of its own."""
        return MISSING

    def read(self, key: str) -> bytes:
        """Raise ImageError: there is no image."""
        raise ImageError("has only a vector, made elsewhere")


@dataclass(frozen=True, eq=False)
class VectorSet:
    """Embeddings made elsewhere, checked but for the values of their rows."""

    name: str
    """Of the file or folder, without the way to it."""
    blocks: tuple[Matrix, ...]
    """The rows, in one piece or several, all (n_i, d)."""
    rows: Source
    """One image a row, in their order."""
    text: Vectors | None = None
    """(c, d) float32 unit rows, one a class name; a class without a vector has NaN throughout."""

    @property
    def n(self) -> int:
        """How many rows there are."""
        return sum(block.shape[0] for block in self.blocks)

    @property
    def dim(self) -> int:
        """Numbers a row."""
        return self.blocks[0].shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that holds all blocks exactly."""
        return np.result_type(*(block.dtype for block in self.blocks)).newbyteorder("=")

    def read(self, rows: slice) -> Raw:
        """Return the rows from `start` to `stop` in memory, one behind the other, as `dtype`."""
        pieces, first = [], 0
        for block in self.blocks:
            start, stop = max(rows.start - first, 0), min(rows.stop - first, block.shape[0])
            if start < stop:
                pieces.append(block[start:stop])
            first += block.shape[0]
        return np.ascontiguousarray(np.concatenate(pieces), dtype=self.dtype)


def in_one_line(error: Exception) -> str:
    """Return what a library says is wrong, in one line as our own messages are."""
    return " ".join(str(error).split())


def check_matrix(matrix: Matrix, where: str) -> None:
    """Raise SourceError unless the array called `where` is (n, d) floats, n and d at least 1."""
    if len(matrix.shape) != 2 or 0 in matrix.shape:
        raise SourceError(
            f"{where} has the shape {matrix.shape}: expected one vector a row, (rows, dimensions)"
        )
    if matrix.dtype.name not in ("float16", "float32", "float64"):
        raise SourceError(f"{where} holds {matrix.dtype}: expected float16, float32 or float64")


def check_width(matrix: Matrix, where: str, dim: int, other: str) -> None:
    """Raise SourceError unless the vectors in `where` have `dim` numbers, as those in `other`."""
    if matrix.shape[1] != dim:
        raise SourceError(
            f"{where} has vectors of {matrix.shape[1]} dimensions, but {other} of {dim}: "
            "expected vectors of one encoder"
        )
