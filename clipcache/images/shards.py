"""Files that hold many images each: which there are, and what their images are called."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clipcache.errors import SourceError
from clipcache.images.base import MISSING, Stamp
from clipcache.images.holdout import EXPECTED, split_meant, split_of_folder
from clipcache.images.roots import Place, Root, ending_of, parted, root_of

SPLIT = re.compile(r"(?:.*/)?([^/]+?)-\d{5}-of-\d{5}[^/]*")
"""What Hugging Face calls a shard: train-00000-of-00004.parquet, in whatever folder."""

DIGITS = 18
"""Digits of a number that could mean a class; Python counts no more than 4,300."""


@dataclass(frozen=True)
class Shards:
    """One file that ends in `ending`, or all such files in a folder or below a prefix.

    An image's key is the shard's, a slash, and its name in the shard; so a shard alone and in its
    folder means the same.
    """

    place: Place
    ending: str
    split_folders: bool = False

    def __iter__(self) -> Iterator[str]:
        """Yield the keys of the shards; SourceError where there is none."""
        if self._alone:
            yield parted(self.place)[1]
            return
        found = False
        for key in self.root.walk((self.ending,)):
            found = True
            yield key
        if not found:
            raise SourceError(f"no {self.ending} file in {self.place}: check the path")

    @cached_property
    def root(self) -> Root:
        """Where the keys of shards begin."""
        return root_of(self._above)

    def stamp(self, key: str) -> Stamp:
        """Return size and time of the shard that holds an image: any change of it is looked at."""
        return self.root.stamp(self.parted(key)[0])

    def parted(self, key: str) -> tuple[str, str]:
        """Return the shard of an image, and its name in it, "" where the key names no shard."""
        found = re.finditer(re.escape(f"{self.ending}/"), key, re.IGNORECASE)
        ends = [each.end() - 1 for each in found]
        if not ends:
            return key, ""
        # Folders may be called like shards, above one as Spark writes them, and in a tar.
        end = next((end for end in ends[:-1] if self._is_file(key[:end])), ends[-1])
        return key[:end], key[end + 1 :]

    def split_of(self, shard: str) -> str:
        """Return the split that a shard's name says, else the first folder, where they are to."""
        if not self.split_folders:
            return "pool"
        folder, slash, _ = shard.partition("/")
        named = SPLIT.fullmatch(shard)
        split = split_meant(named[1]) if named else None
        if split is None and slash:
            return split_of_folder(folder, str(self.place))
        if split is None and named:
            raise SourceError(
                f"{shard} in {self.place} is of the unknown split {named[1]!r}: expected {EXPECTED}"
            )
        return split or "pool"

    def _is_file(self, key: str) -> bool:
        if isinstance(self._above, Path):
            return (self._above / key).is_file()
        return self.root.stamp(key) != MISSING

    @property
    def _above(self) -> Place:
        return parted(self.place)[0] if self._alone else self.place

    @cached_property
    def _alone(self) -> bool:
        """Whether the place is a shard, and no folder that is called like one."""
        if ending_of(self.place) != self.ending:
            return False
        if isinstance(self.place, Path):
            return self.place.is_file()
        above, name = parted(self.place)
        below = root_of(self.place).walk((self.ending,))
        return root_of(above).stamp(name) != MISSING or next(below, None) is None


def label_of(said: str | int | None, names: tuple[str, ...] | None, where: str) -> str | None:
    """Return the class that a shard says: a name, or a number where `names` say what it means.

    Without `names` a number is a name; none, nothing and -1 are unlabelled. SourceError naming
    `where` for a number that is not among `names`, and for what is no text.

    >>> label_of("1", ("cat", "dog"), ""), label_of("1", None, ""), label_of(-1, None, "")
    ('dog', '1', None)
    """
    text = "" if said is None else str(said).strip()
    if not text or text == "-1":
        return None
    if names is None or (isinstance(said, str) and (text in names or not text.isdecimal())):
        return _plain(text, where)
    if len(text) > DIGITS or not 0 <= int(text) < len(names):
        raise SourceError(
            f"{where} says class {text[:80]}, but there are {len(names)} class names, counted from "
            "0: give --labels the list that the numbers belong to"
        )
    return _plain(names[int(text)], where)


def _plain(label: str, where: str) -> str:
    """Return a label as it is; SourceError for halves of characters, as JSON can have them."""
    try:
        label.encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"{where} says class {label[:80]!r}: expected a name that can be written as UTF-8; "
            "make the file anew with one"
        ) from None
    return label
