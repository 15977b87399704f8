"""Images named by the rows of a CSV file, which may also hold their labels and splits."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from clipcache.errors import SourceError
from clipcache.images.base import Item, Stamp
from clipcache.images.holdout import EXPECTED, split_meant
from clipcache.images.roots import Place, Root, parted, root_of
from clipcache.images.rows import fault, read_rows
from clipcache.images.web import Web, check_address, is_address


@dataclass(frozen=True)
class Table:
    """A source: one image a row, in the order of the table.

    An image's key is `path_pattern` with the cell of `path_column` put in for {}, and its file is
    looked for below `root`, by default the table's folder; a key that begins with http:// or
    https:// is fetched instead. An empty label cell is an unlabelled image, an empty split cell the
    pool. A file that is not there is no fault of the table.
    """

    path: Place
    root: Place | None = None
    path_column: str = "path"
    label_column: str | None = None
    split_column: str | None = None
    path_pattern: str = "{}"
    web: Web = field(default_factory=Web)

    def __post_init__(self) -> None:
        before, hole, after = self.path_pattern.partition("{}")
        if not hole or set(before + after) & set("{}"):
            raise SourceError(
                f"the path pattern is {self.path_pattern!r}: expected exactly one {{}}, where "
                "the cell goes, as in 'images/{}.jpg'"
            )

    def __iter__(self) -> Iterator[Item]:
        """Yield every image.

        Raises SourceError naming the line that is at fault, where there is none, and for a root
        that is not a folder.
        """
        self._files.check()
        found = False
        for _, item in self._items():
            found = True
            yield item
        if not found:
            raise SourceError(f"{self.path} has no rows below line 1: expected one an image")

    def class_names(self) -> tuple[str, ...]:
        """Return the labels that occur, sorted; the first call reads the whole table."""
        return self._class_names

    def stamp(self, key: str) -> Stamp:
        """Return size and time of one image's file, MISSING where there is none."""
        if is_address(key):
            return self.web.stamp(key)
        self._files.survey()
        return self._files.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of one image's file; raise ImageError where they cannot be read."""
        return self.web.read(key) if is_address(key) else self._files.read(key)

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        """All labels, remembered: make a new source where the table has changed."""
        labels = {item.label for _, item in self._items()}
        return tuple(sorted(label for label in labels if label is not None))

    @cached_property
    def _files(self) -> Root:
        """Where keys that are paths begin."""
        return root_of(parted(self.path)[0] if self.root is None else self.root)

    def _items(self) -> Iterator[tuple[int, Item]]:
        """Yield line number and image of every row."""
        columns = (self.path_column, self.label_column, self.split_column)
        for line, (cell, label, split) in read_rows(self.path, columns):
            yield line, Item(self._key(line, cell), label.strip() or None, self._split(line, split))

    def _key(self, line: int, cell: str) -> str:
        """Return the address or the posix path, relative to the root, that the cell stands for."""
        if not cell.strip():
            raise fault(self.path, line, f"has nothing in the column {self.path_column!r}")
        named = self.path_pattern.replace("{}", cell)
        if is_address(named.strip()):
            return check_address(self.path, line, named.strip())
        key = posixpath.normpath(named)
        if key.startswith("/") or key == ".." or key.startswith("../"):
            raise fault(
                self.path,
                line,
                f"names {key!r}, which is not below {self._files}: expected a path relative to "
                "it; choose another root or path pattern",
            )
        return key

    def _split(self, line: int, cell: str) -> str:
        """Return the split that the cell stands for."""
        split = split_meant(cell.strip() or "pool")
        if split is None:
            raise fault(self.path, line, f"has the unknown split {cell!r}: expected {EXPECTED}")
        return split
