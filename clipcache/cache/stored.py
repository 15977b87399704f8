"""The embeddings of a finished cache, left on disk: for pools that are larger than memory.

A chunk is the bytes of its rows and a checksum. Zarr copies such a file twice on its way into an
array, so a file that has been checked once is mapped from then on: the system's page cache is the
only copy, and memory that others need is given back by itself.

Meanwhile another command may bring the copy of a cache in a bucket up to date, or embed more
images. So a file that is not the one that was checked is checked again, by the seal that its chunk
had in the beginning.
"""

import os

import numpy as np

from clipcache.arrays import Features, RowIds
from clipcache.cache.layout import chunk_file
from clipcache.cache.reader import MEANWHILE, EmbeddingCache
from clipcache.errors import CacheDamagedError

Version = tuple[int, int, int] | None
"""By what a file and another one in its place differ; None where there is no file."""


class StoredEmbeddings:
    """The first `n` rows of a cache, (n, dim) float16, read chunk by chunk."""

    def __init__(self, cache: EmbeddingCache, n: int) -> None:
        cache.require_finished()
        self.shape = (n, cache.dim)
        self.dtype = np.dtype(np.float16)
        self.chunk_rows = cache.chunk_rows
        self._cache = cache
        self._seals = cache.seals("result")
        self._checked: dict[int, Version] = {}

    def read(self, chunk: int) -> Features:
        """Return the rows of one chunk as a read-only map of its file.

        Raises CacheDamagedError where they are not what was there in the beginning.
        """
        while True:
            version, rows = self._mapped(chunk)
            if chunk in self._checked and self._checked[chunk] == version:
                return rows[: self.shape[0] - chunk * self.chunk_rows]
            self._cache.check("result", chunk, sealed=self._seals[chunk])
            if self._mapped(chunk)[0] == version:  # no other file came during the check
                self._checked[chunk] = version

    def _mapped(self, chunk: int) -> tuple[Version, Features]:
        """Return the rows that a chunk has room for, unchecked, and which file they are of."""
        shape = (self.chunk_rows, self.shape[1])
        try:
            with (self._cache.folder / chunk_file(chunk)).open("rb") as file:
                found = os.fstat(file.fileno())
                version = (found.st_ino, found.st_size, found.st_mtime_ns)
                return version, np.memmap(file, np.dtype("<f2"), "r", shape=shape)
        except FileNotFoundError:  # Zarr writes none where all values are 0: all images failed
            return None, np.zeros(shape, dtype=np.float16)
        except (OSError, ValueError) as error:
            raise CacheDamagedError(
                f"chunk {chunk} of {self._cache.path} cannot be read ({error}); {MEANWHILE}"
            ) from error

    def __getitem__(self, rows: RowIds) -> Features:
        """Return some rows, in any order; each chunk that has one of them is touched once."""
        out = np.empty((len(rows), self.shape[1]), dtype=np.float16)
        chunks = rows // self.chunk_rows
        for chunk in np.unique(chunks).tolist():
            here = np.flatnonzero(chunks == chunk)
            out[here] = self.read(chunk)[rows[here] - chunk * self.chunk_rows]
        return out
