"""Scoring on many machines: workers of a Ray cluster say who is best among their chunks.

Each worker opens the cache by its path and scores its chunks with the code that scores a pool here,
on one processor; what is best is merged here by exact scores, so that the same rows are chosen
whoever scored what. (A head that is no weight matrix has none. Its float32 scores count, whose last
bits depend on the processor and on how many rows are multiplied at once.) Heads are sent once a
question, rows as a bit each, vectors never. From round to round a worker keeps its chunks, which
its machine then has in memory. One that dies costs those that it was at.

There are no local processes for this: threads use all processors of a machine already.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.arrays import RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.stored import StoredEmbeddings
from clipcache.dataset import Dataset
from clipcache.engines.cluster import Crew, connected, require_shared, room
from clipcache.errors import EngineError
from clipcache.images.roots import Place
from clipcache.kernels.exact import exact
from clipcache.scoring import Best, Query, best_each
from clipcache.threads import limit_threads

SCORERS = ("inline", "ray")
PART = 131_072
"""Rows that a worker scores at a time, at most: a fifth of a second of work, and a message."""
SHARES = 4
"""Parts for each worker, at least, so that all are done at about the same time."""


def scored_by(engine: str, data: Dataset, cache: EmbeddingCache, device: str = "cpu") -> Dataset:
    """Return the data with rows that the engine scores; `inline` is this process.

    Raises EngineError for a name that is none of SCORERS, where Ray is not installed, and for
    another device than "cpu" with Ray.
    """
    if engine == "inline":
        return data
    if engine != "ray":
        raise EngineError(f"no engine {engine!r} scores; there are: {', '.join(SCORERS)}")
    if device != "cpu":
        raise EngineError(f"workers of Ray score on processors: leave out --device {device}")
    return replace(data, features=OnCluster(cache, data.n))


class OnCluster(StoredEmbeddings):
    """The first `n` rows of a cache, which workers score; whoever asks for them reads them here."""

    def __init__(self, cache: EmbeddingCache, n: int) -> None:
        """Connect to Ray and let workers begin, one for each processor of the cluster."""
        seals = _seals(cache, n)  # before ours are read: who changes the cache meanwhile is seen
        super().__init__(cache, n)
        self._ray = ray = connected()
        worker = ray.remote(_Worker).options(num_cpus=1, max_restarts=0)
        path = cache.path.resolve() if isinstance(cache.path, Path) else cache.path
        self._crew = Crew(ray, partial(worker.remote, path, n, seals))
        workers = room(ray, cpus=1)
        self._crew.hire(min(workers, -(-n // self.chunk_rows)))
        self._together = max(1, min(PART, n // (SHARES * workers)) // self.chunk_rows)
        self._turn = Lock()
        compiled = type(exact)
        if compiled is not FunctionType:
            ray.util.register_serializer(compiled, serializer=_name_of, deserializer=_of_name)

    def best_of_parts(self, rows: RowIds, queries: Sequence[Query]) -> Iterator[list[Best]]:
        """Yield what `best_each` finds in each part of the rows, in any order.

        Raises what a worker raises, EngineError where none comes or where they die again and again.
        """
        if (rows[1:] < rows[:-1]).any():
            rows = np.sort(rows)
        size = self._together * self.chunk_rows
        edges = np.searchsorted(rows, np.arange(0, self.shape[0] + size, size))
        parts = self._together * np.flatnonzero(np.diff(edges))  # by their first chunks
        with self._turn:
            asked = self._ray.put(list(queries))

            def send(worker: Any, chunk: int) -> Any:
                place, start = chunk // self._together, chunk * self.chunk_rows
                wanted = np.zeros(size, dtype=np.bool_)
                wanted[rows[edges[place] : edges[place + 1]] - start] = True
                return worker.best.remote(start, np.packbits(wanted), asked)

            self._crew.hire(min(room(self._ray, cpus=1), len(parts)))
            yield from self._crew.do(parts.tolist(), send)


class _Worker:
    """Scores parts of a cache."""

    def __init__(self, cache: Place, n: int, seals: str) -> None:
        limit_threads(1)
        self._cache, self._n, self._seals = cache, n, seals

    def ready(self) -> None:
        """Return at once, where the cache is there."""
        require_shared(self._cache)

    @cached_property
    def _rows(self) -> StoredEmbeddings:
        """Open the cache; one in a bucket is copied to this machine, which takes its time."""
        cache = EmbeddingCache.open(self._cache)
        rows = StoredEmbeddings(cache, self._n)
        if _seals(cache, self._n) != self._seals:
            raise EngineError(
                f"a Ray worker finds another cache at {self._cache}: all machines must see the "
                "same one under the same name; if it was embedded anew just now, run this again"
            )
        return rows

    def best(
        self, start: int, wanted: npt.NDArray[np.uint8], queries: Sequence[Query]
    ) -> list[Best]:
        """Answer the queries with rows from `start` on, those that have a bit in `wanted`."""
        rows = start + np.flatnonzero(np.unpackbits(wanted))
        return best_each(self._rows, rows, queries)


def _seals(cache: EmbeddingCache, n: int) -> str:
    """Return what tells the first `n` rows of a cache from others.

    Those of a chunk that goes on after them are told by their vectors, for its seal changes when
    rows are appended.
    """
    whole = n // cache.chunk_rows
    sha = hashlib.sha256(f"{cache.identity} {n}".encode())
    sha.update(cache.seals("result")[:whole].tobytes())
    sha.update(cache.read("embedding", slice(whole * cache.chunk_rows, n)).tobytes())
    return sha.hexdigest()


def _name_of(kernel: Any) -> tuple[str, str]:
    """Return what a compiled kernel travels as: a copy of its code would be compiled anew."""
    return kernel.__module__, kernel.__qualname__


def _of_name(name: tuple[str, str]) -> Any:
    return getattr(import_module(name[0]), name[1])
