"""Rows in chunks, as a cache on disk has them, but in memory; it keeps count of what is read."""

import numpy as np

from clipcache.arrays import Features, RowIds, Vectors


class InChunks:
    """An array behind the protocol of `features.Chunked`."""

    def __init__(self, array: Features | Vectors, chunk_rows: int) -> None:
        self.shape = array.shape
        self.dtype = array.dtype
        self.chunk_rows = chunk_rows
        self.reads: list[int] = []
        self._array = array

    def read(self, chunk: int) -> Features:
        """Return one chunk."""
        self.reads.append(chunk)
        return self._array[chunk * self.chunk_rows : (chunk + 1) * self.chunk_rows]

    def __getitem__(self, rows: RowIds) -> Features:
        """Return some rows."""
        assert isinstance(rows, np.ndarray)
        return self._array[rows]
