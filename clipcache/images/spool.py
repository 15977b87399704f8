"""Long lists on disk instead of in memory, in a file without a name that is gone with its owner."""

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from threading import RLock
from typing import Any

BLOCK = 1 << 18
"""Bytes that are read at a time."""

Span = tuple[int, int]
"""Where a list lies: its first byte, and the one behind its last."""


class Spool:
    """Lists of lines; any thread may write and read. A copy in another process begins empty."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="clipcache-")  # noqa: SIM115  # lives on
        self._lock = RLock()
        weakref.finalize(self, self._file.close)

    def __reduce__(self) -> tuple[Any, ...]:
        return Spool, ()

    def put(self, lines: Iterable[bytes]) -> Span:
        """Write down a list of lines without line ends, and return where it lies."""
        with self._lock:
            begin = self._file.seek(0, os.SEEK_END)
            for line in lines:
                self._file.write(line + b"\n")
            return begin, self._file.tell()

    def lines(self, span: Span) -> Iterator[bytes]:
        """Yield the lines of a list again."""
        place, end = span
        rest = b""
        while place < end:
            with self._lock:
                self._file.seek(place)
                block = self._file.read(min(BLOCK, end - place))
            place += len(block)
            *lines, rest = (rest + block).split(b"\n")
            yield from lines
