"""What every source of images promises."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from clipcache.errors import ImageError

SPLITS = ("pool", "test")
"""Where an image belongs: `pool` is to be labelled, `test` is held out to measure accuracy."""


class Stamp(NamedTuple):
    """What tells cheaply that a file may have changed: as in rsync, its size and time.

    `Stamp(-1, -1)` is a file that is not there.
    """

    size: int
    mtime_ns: int


MISSING = Stamp(-1, -1)


class PassingError(ImageError):
    """An image cannot be had now, and perhaps can when it is asked for again."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source: its key is its name for ever, unique in the source."""

    key: str
    label: str | None = None
    split: str = "pool"


class Source(Protocol):
    """A finite, repeatable listing of images, and their bytes by key.

    Iterating twice over an unchanged source gives the same items in the same order, and holds
    neither pixels nor the whole listing in memory.
    """

    def __iter__(self) -> Iterator[Item]:
        """Yield every image; raise SourceError where the listing itself is broken."""
        ...

    def class_names(self) -> tuple[str, ...]:
        """All class names in a stable order; empty where nothing is labelled."""
        ...

    def stamp(self, key: str) -> Stamp:
        """Size and time of one image's file, MISSING where there is none."""
        ...

    def read(self, key: str) -> bytes:
        """Return the encoded bytes of one image; raise ImageError where they cannot be read."""
        ...
