"""Images in Parquet files, as Hugging Face datasets keep them: a row each, with the bytes in it."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any

from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, Item, Stamp
from clipcache.images.files import NOT_FOUND
from clipcache.images.holdout import EXPECTED, split_meant
from clipcache.images.parquet_file import Footer, read_columns, read_footer, read_group
from clipcache.images.recent import Recent
from clipcache.images.roots import Place
from clipcache.images.shards import Shards, label_of

KEPT = 256 << 20
"""Bytes of row groups in memory: those read last, and two in any case."""
KEPT_FOOTERS = 16 << 20

EMPTY = "the row has no bytes of an image"


@dataclass(frozen=True)
class ParquetImages:
    """A source: the rows of one .parquet, or of all in a folder or below a prefix.

    `image_column` holds bytes, or a struct with bytes in it; None: the only column that does, or
    of several the one called image. The key of an image is `file.parquet/` and the number of its
    row, counted from 0: that stays when rows are appended, whereas the paths in rows are often
    missing, and may occur again later. Labels are text, or numbers that mean the class names in the
    file's `huggingface` metadata, else `names`. With `split_folders` the name of a file says the
    split, as in train-00000-of-00004.parquet, else its first folder.
    """

    place: Place
    image_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    split_folders: bool = False
    names: tuple[str, ...] | None = None
    _groups: Recent[Any] = field(
        default_factory=lambda: Recent(KEPT, attrgetter("nbytes")),
        init=False,
        compare=False,
        repr=False,
    )
    _footers: Recent[Footer] = field(
        default_factory=lambda: Recent(KEPT_FOOTERS, attrgetter("nbytes")),
        init=False,
        compare=False,
        repr=False,
    )

    def __iter__(self) -> Iterator[Item]:
        """Yield every row, file by file.

        Raises SourceError where there is no file, one cannot be read, a column is missing or of
        another kind, or no file has a row.
        """
        found = False
        for shard in self._shards:
            split = self._shards.split_of(shard)
            for number, (label, part) in enumerate(self._rows(shard)):
                found = True
                key = f"{shard}/{number}"
                if self.split_column:
                    split = self._split(part, key)
                yield Item(key, label, split)
        if not found:
            raise SourceError(f"{self.place} has no rows: expected one an image")

    def class_names(self) -> tuple[str, ...]:
        """Return the labels that occur, sorted; the first call reads all labels."""
        return self._class_names

    def stamp(self, key: str) -> Stamp:
        """Return size and time of the file that holds an image, MISSING where it is gone."""
        return self._shards.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of one image; raise ImageError where they cannot be read."""
        shard, number = self._shards.parted(key)
        stamp = self._shards.root.stamp(shard)
        if stamp == MISSING or not number.isdecimal():
            raise ImageError(NOT_FOUND)
        footer = self._footer(shard, stamp)
        row = int(number)
        if row >= footer.starts[-1]:
            raise ImageError(NOT_FOUND)
        group = bisect_right(footer.starts, row) - 1
        column = self._groups.get(
            (shard, stamp, group), lambda: read_group(self._shards.root, shard, footer, group)
        )
        data: bytes | None = column[row - footer.starts[group]].as_py()
        if data is None:
            raise ImageError(EMPTY)
        return data

    @cached_property
    def _shards(self) -> Shards:
        return Shards(self.place, ".parquet", self.split_folders)

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        """All labels, remembered: make a new source where the files have changed."""
        return tuple(sorted({item.label for item in self if item.label is not None}))

    def _footer(self, shard: str, stamp: Stamp) -> Footer:
        root = self._shards.root
        return self._footers.get(
            (shard, stamp), lambda: read_footer(root, shard, self.image_column)
        )

    def _rows(self, shard: str) -> Iterator[tuple[str | None, str | int | None]]:
        """Yield label, and split as it is written, of every row of a file."""
        footer = self._footer(shard, self._shards.root.stamp(shard))
        columns = (self.label_column, self.split_column)
        names = footer.class_names(self.label_column) or self.names
        rows = read_columns(self._shards.root, shard, footer, columns)
        for number, (label, split) in enumerate(rows):
            yield label_of(label, names, f"{shard}/{number}"), split

    def _split(self, said: str | int | None, key: str) -> str:
        split = split_meant("pool" if said in (None, "") else str(said))
        if split is None:
            raise SourceError(f"{key} has the unknown split {said!r}: expected {EXPECTED}")
        return split
