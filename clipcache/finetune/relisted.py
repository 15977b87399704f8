"""The images of a cache as a source again, with what people said of them since."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from clipcache.arrays import Labels, RowIds
from clipcache.images.base import SPLITS, Item, Source, Stamp
from clipcache.run import Run


@dataclass(frozen=True, eq=False)
class Relisted:
    """A source in the order of the rows of a cache, so that each image has its row in a new one."""

    source: Source
    """Where the images are; what it says of labels and splits is not asked for."""
    keys: list[str] = field(repr=False)
    labels: Labels = field(repr=False)
    """(n,) places among the names, -1 unknown."""
    splits: RowIds = field(repr=False)
    """(n,) places among `SPLITS`."""
    names: tuple[str, ...]

    @classmethod
    def of(cls, run: Run, source: Source) -> Self:
        """List the images of a run's cache, which are in `source`.

        Where people answer, their labels are those of the images, those that they labelled to
        measure on are held out, and classes that they made are among the names.
        """
        listing, own = run.cache.listing(), run.cache.names()
        names = tuple(dict.fromkeys((*run.names, *own)))
        place = np.array([*(names.index(name) for name in own), -1])  # -1, unknown, is the last
        labels, splits = place[listing["label"]], listing["split"].astype(np.int64)
        if run.config.people:
            for row, label in run.ballots.labels().items():
                labels[row] = label
            splits[run.held_out] = SPLITS.index("test")
        return cls(source, listing["key"].tolist(), labels, splits, names)

    def only(self, rows: RowIds) -> Self:
        """Return some of the images."""
        keys = [self.keys[row] for row in rows.tolist()]
        return type(self)(self.source, keys, self.labels[rows], self.splits[rows], self.names)

    def __iter__(self) -> Iterator[Item]:
        """Yield every image, in the order of the rows."""
        for key, label, split in zip(self.keys, self.labels, self.splits, strict=True):
            yield Item(key, self.names[label] if label >= 0 else None, SPLITS[split])

    def class_names(self) -> tuple[str, ...]:
        """Return all classes, those that people made among them."""
        return self.names

    def stamp(self, key: str) -> Stamp:
        """Return size and time of one image's file, MISSING where there is none."""
        return self.source.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of one image's file; raise ImageError where they cannot be read."""
        return self.source.read(key)
