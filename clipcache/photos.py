"""The images of a cache as people look at them: by row, made small, the newest kept in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Protocol

from clipcache.errors import ImageError, SourceError
from clipcache.images.thumbnail import jpeg

KEPT = 64 << 20
"""Bytes of JPEGs that are kept: some 500 large images, or 5,000 thumbnails."""


class Readable(Protocol):
    """What is asked of a source of images here."""

    def read(self, key: str) -> bytes:
        """Return the encoded bytes of one image.

        Raises ImageError where they cannot be read, SourceError where that is not this one's fault.
        """
        ...


class Photos:
    """Images by row; any thread may ask for them."""

    def __init__(self, source: Readable, keys: Sequence[str], *, kept: int = KEPT) -> None:
        """Look up row i as `keys[i]` in `source`; keep at most `kept` bytes of what was made."""
        self.problem: str | None = None
        """Why the source failed at the last image that was read; None where it did not."""
        self._source = source
        self._keys = keys
        self._room = kept
        self._made: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = Lock()

    def read(self, row: int) -> bytes:
        """Return the bytes of an image's file; ImageError and SourceError as `Readable.read`."""
        if not 0 <= row < len(self._keys):
            raise ImageError(f"there is no row {row}: expected 0 to {len(self._keys) - 1}")
        problem: str | None = None
        try:
            return self._source.read(str(self._keys[row]))
        except SourceError as error:
            problem = str(error)
            raise
        finally:
            self.problem = problem

    def jpeg(self, row: int, side: int) -> bytes:
        """Return an image as a JPEG with its longest side at most `side`.

        Raises ImageError where the file cannot be read or is no image, SourceError as `read`.
        """
        with self._lock:
            found = self._made.get((row, side))
            if found is not None:
                self._made.move_to_end((row, side))
                return found
        made = jpeg(self.read(row), side)  # outside the lock, for it takes long
        self._keep((row, side), made)
        return made

    def _keep(self, which: tuple[int, int], made: bytes) -> None:
        """Keep a JPEG in place of those that nobody has asked for the longest."""
        with self._lock:
            if which in self._made:  # another thread was faster
                return
            self._made[which] = made
            self._room -= len(made)
            while self._room < 0:
                _, dropped = self._made.popitem(last=False)
                self._room += len(dropped)
