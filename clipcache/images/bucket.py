"""Objects below a prefix of a bucket, as if they were the files of a folder.

A look at one object is a request, some 20 ms, and one page of a listing tells the stamps of a
thousand; so those of a listing are remembered, 24 bytes an object.
"""

import errno
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import BinaryIO

from clipcache.errors import ImageError
from clipcache.images.base import MISSING, PassingError, Stamp
from clipcache.images.files import NOT_FOUND
from clipcache.images.pairs import Pairs
from clipcache.images.recent import Recent
from clipcache.objects import Objects

LOOKS = 256
"""Stamps that are remembered where nothing was listed, as of a few tars."""


@dataclass(frozen=True)
class Bucket:
    """The objects below the prefix `url`: a Root, see roots.py.

    Errors that all objects share (a network that is gone, credentials that have expired) are
    SourceErrors wherever they turn up: a run ends there and goes on later, and no image is stored
    as failed because of them.
    """

    url: str
    _listed: list[Pairs] = field(default_factory=list, init=False, compare=False, repr=False)
    """Size and time by key, of the last whole listing; at most one."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Bucket, (self.url,)

    def __str__(self) -> str:
        return self.url

    def check(self) -> None:
        """Do nothing: a prefix is there as soon as something is below it."""

    def walk(self, endings: tuple[str, ...]) -> Iterator[str]:
        """Yield the keys of all objects that end so, in the cloud's order; SourceError."""
        return self._list(lambda key: key.lower().endswith(endings) and not _hidden(key))

    def survey(self) -> None:
        """List everything once, so that a look at most of it costs no request each."""
        if not self._listed:
            for _ in self._list(lambda key: True):
                pass

    def stamp(self, key: str) -> Stamp:
        """Return size and time of an object, MISSING where there is none; SourceError."""
        if self._listed:
            return Stamp(*(self._listed[0].of(key) or MISSING))
        return self._looks.get(key, lambda: self._look(key))

    def read(self, key: str) -> bytes:
        """Return the bytes of an object; ImageError where this one cannot be read."""
        try:
            return self._objects.get(key)
        except (FileNotFoundError, PermissionError) as error:
            raise _unreadable(error) from None

    def read_part(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` on, fewer at the end; ImageError as `read`."""
        try:
            return self._objects.get_range(key, start, length)
        except (FileNotFoundError, PermissionError) as error:
            raise _unreadable(error) from None

    def open(self, key: str, buffer: int) -> BinaryIO:
        """Return an object, open for reading in requests of at least `buffer` bytes; OSError."""
        try:
            return io.BufferedReader(_Ranges(self._objects, key), buffer)
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "no such object", key) from error
        except PermissionError as error:
            raise PermissionError(errno.EACCES, "access is denied", key) from error

    def _list(self, wanted: Callable[[str], bool]) -> Iterator[str]:
        """Yield the keys that are wanted, and remember the stamps of these."""
        stamps = Pairs()
        for found in self._objects.list():
            if wanted(found.key):
                stamps.add(found.key, found.size, found.mtime_ns)
                yield found.key
        self._listed[:] = [stamps]

    def _look(self, key: str) -> Stamp:
        try:
            found = self._objects.head(key)
        except (FileNotFoundError, PermissionError):
            return MISSING
        return Stamp(found.size, found.mtime_ns)

    @cached_property
    def _looks(self) -> Recent[Stamp]:
        return Recent(LOOKS, _one)

    @cached_property
    def _objects(self) -> Objects:
        return Objects(self.url)


class _Ranges(io.RawIOBase):
    """A file of which each read is a request for a part of an object."""

    def __init__(self, objects: Objects, key: str) -> None:
        self._objects, self._key = objects, key
        self._size = objects.head(key).size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = start + offset
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        length = max(0, min(len(buffer), self._size - self._place))
        part = self._objects.get_range(self._key, self._place, length)
        buffer[: len(part)] = part
        self._place += len(part)
        return len(part)


def _unreadable(error: Exception) -> ImageError:
    if isinstance(error, PermissionError):  # rights can be given, and some clouds mean other things
        return PassingError("access is denied")
    return ImageError(NOT_FOUND)


def _hidden(key: str) -> bool:
    return key.startswith(".") or "/." in key


def _one(stamp: Stamp) -> int:
    return 1
