"""Images on the web, named by a text file with one address a line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from clipcache.errors import SourceError
from clipcache.images.base import Item, Stamp
from clipcache.images.roots import Place
from clipcache.images.rows import read_lines
from clipcache.images.web import Web, check_address


@dataclass(frozen=True)
class Addresses:
    """A source: one unlabelled image a line, whose key is its address.

    Blank lines and lines that begin with "#" are passed over.
    """

    path: Place
    web: Web = field(default_factory=Web)

    def __iter__(self) -> Iterator[Item]:
        """Yield every image; SourceError naming the line that is at fault."""
        found = False
        for number, line in read_lines(self.path, "list", "text file with one address a line"):
            text = line.strip()
            if text and not text.startswith("#"):
                found = True
                yield Item(check_address(self.path, number, text))
        if not found:
            raise SourceError(f"{self.path} has no addresses: expected one a line")

    def class_names(self) -> tuple[str, ...]:
        """Return none: only a table has labels for addresses. The first call reads the list."""
        return self._class_names

    def stamp(self, key: str) -> Stamp:
        """Return the same for every address: none is fetched again once it is done."""
        return self.web.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the bytes at an address; raise ImageError where they cannot be had."""
        return self.web.read(key)

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        """Nothing, once the whole list has been found good."""
        return tuple(item.key for item in self if item.label is not None)
