"""The embeddings of a finished cache, left on disk: for pools that are larger than memory.

A chunk is the bytes of its rows and a checksum. Zarr copies such a file twice on its way into an
array, so a chunk that has been checked once is mapped from then on: the system's page cache is the
only copy, and memory that others need is given back by itself.
"""

import numpy as np

from clipcache.arrays import Features, RowIds
from clipcache.cache.layout import chunk_file
from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import CacheDamagedError


class StoredEmbeddings:
    """The first `n` rows of a cache, (n, dim) float16, read chunk by chunk."""

    def __init__(self, cache: EmbeddingCache, n: int) -> None:
        cache.require_finished()
        self.shape = (n, cache.dim)
        self.dtype = np.dtype(np.float16)
        self.chunk_rows = cache.chunk_rows
        self._cache = cache
        self._checked: set[int] = set()
        self._zeros: set[int] = set()
        """Chunks that have no file: Zarr writes none where all values are 0, all images failed."""

    def read(self, chunk: int) -> Features:
        """Return the rows of one chunk as a read-only map of its file.

        Raises CacheDamagedError where they are not what was written.
        """
        path = self._cache.folder / chunk_file(chunk)
        if chunk not in self._checked:
            self._cache.check("result", chunk)
            if not path.exists():
                self._zeros.add(chunk)
            self._checked.add(chunk)
        if chunk in self._zeros:
            return np.zeros((self.chunk_rows, self.shape[1]), dtype=np.float16)[: self._left(chunk)]
        try:
            rows = np.memmap(path, np.dtype("<f2"), "r", shape=(self.chunk_rows, self.shape[1]))
        except (OSError, ValueError) as error:
            raise CacheDamagedError(
                f"{path} cannot be read ({error}); `clipcache verify` names every damaged chunk"
            ) from error
        return rows[: self._left(chunk)]

    def _left(self, chunk: int) -> int:
        """Return how many rows there are from the first one of a chunk on."""
        return self.shape[0] - chunk * self.chunk_rows

    def __getitem__(self, rows: RowIds) -> Features:
        """Return some rows, in any order; each chunk that has one of them is touched once."""
        out = np.empty((len(rows), self.shape[1]), dtype=np.float16)
        chunks = rows // self.chunk_rows
        for chunk in np.unique(chunks).tolist():
            here = np.flatnonzero(chunks == chunk)
            out[here] = self.read(chunk)[rows[here] - chunk * self.chunk_rows]
        return out
