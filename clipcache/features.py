"""Rows of a pool, wherever they are: in memory, in a memory map, or in chunks on disk."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np

from clipcache.arrays import Features, RowIds, Vectors
from clipcache.threads import available_threads

SEGMENT = 8192
"""Rows of an array that are worked on by one thread before it asks for more."""
PART = 2048
"""Rows that are worked on at a time, so that they stay in a cache and need no second copy."""

T = TypeVar("T")


class Chunked(Protocol):
    """(n, d) rows that are read chunk by chunk. A cache on disk is one."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return (n, d)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return float16 or float32."""
        ...

    @property
    def chunk_rows(self) -> int:
        """Return how many rows a chunk has; the last one may have fewer."""
        ...

    def read(self, chunk: int) -> Features | Vectors:
        """Return the rows of one chunk."""
        ...

    def __getitem__(self, rows: RowIds) -> Features | Vectors:
        """Return some rows, in any order."""
        ...


Rows = Features | Vectors | Chunked
"""What a pool's rows may be: float16 or float32; `rows[ids]` gives some of them."""


class Segment(NamedTuple):
    """Some of the wanted rows, and the array that they are in."""

    start: int
    """Place of the first one among the wanted rows."""
    rows: RowIds
    array: Features | Vectors
    places: RowIds
    """(m,) `array[places]` are the rows."""


def segments(features: Rows, rows: RowIds) -> Generator[Segment, None, None]:
    """Yield the wanted rows in their order, those in one chunk together.

    Rows that are sorted touch each chunk once.
    """
    if isinstance(features, np.ndarray):
        for start in range(0, len(rows), SEGMENT):
            part = rows[start : start + SEGMENT]
            yield Segment(start, part, features, part)
        return
    chunk = rows // features.chunk_rows
    edges = [0, *(np.flatnonzero(np.diff(chunk)) + 1).tolist(), len(rows)]
    for start, stop in pairwise(edges):
        if start < stop:
            part, number = rows[start:stop], int(chunk[start])
            places = part - number * features.chunk_rows
            yield Segment(start, part, features.read(number), places)


def each_segment(
    features: Rows, rows: RowIds, work: Callable[[Segment], T]
) -> Iterator[tuple[Segment, T]]:
    """Yield the segments of the wanted rows and what `work`, in several threads, makes of each."""
    threads = available_threads()
    todo = read_ahead(segments(features, rows), threads)
    with ThreadPoolExecutor(threads) as workers:
        while some := list(islice(todo, threads)):
            yield from zip(some, workers.map(work, some), strict=True)


def read_ahead(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Yield the items, `depth` of which a thread makes before they are asked for."""
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(next, items, None) for _ in range(depth))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(reader.submit(next, items, None))
            yield item
