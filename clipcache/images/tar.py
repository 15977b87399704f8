"""Images in tars, as webdataset packs them: read in place, nothing is unpacked."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter

from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, Item, Stamp
from clipcache.images.files import NOT_FOUND
from clipcache.images.pairs import Pairs
from clipcache.images.recent import Recent
from clipcache.images.roots import Place
from clipcache.images.shards import Shards, label_of
from clipcache.images.spool import Span, Spool
from clipcache.images.tar_index import NOT_HERE, Member, scan

BUFFER = 4 << 20
"""Bytes fetched at a time while a tar in a bucket is looked through: headers lie between images, so
that nearly all of it comes by, in few requests."""
KEPT = 64 << 20
"""Bytes of indexes in memory: those of the tars read last, some 1,600,000 images in all."""

CUT_OFF = "cut off: the tar ends before this image does"
NO_BYTES = "a link or a file with holes: pack the tar with --dereference --hard-dereference"


@dataclass(frozen=True)
class Tars:
    """A source: the images of one .tar, or of all in a folder or below a prefix.

    The key of an image is `shard.tar/member`, its label what a file beside it says: `.cls` holds a
    class name or a number, `.json` has it as "label". Numbers mean `names` where they are given.
    With `split_folders` the name of a shard says the split, as in train-00000-of-00004.tar, else
    its first folder. Tars are looked through once; what was found is kept on disk.
    """

    place: Place
    split_folders: bool = False
    names: tuple[str, ...] | None = None
    _spool: Spool = field(default_factory=Spool, init=False, compare=False, repr=False)
    _spans: "_Spans" = field(
        default_factory=lambda: _Spans(), init=False, compare=False, repr=False
    )
    _indexes: Recent[Pairs] = field(
        default_factory=lambda: Recent(KEPT, attrgetter("weight")),
        init=False,
        compare=False,
        repr=False,
    )

    def __iter__(self) -> Iterator[Item]:
        """Yield every image, tar by tar in the order of its headers.

        Raises SourceError where there is no tar, one cannot be read as one, or none has an image.
        """
        found = False
        for shard in self._shards:
            split = self._shards.split_of(shard)
            for member in self._members(shard, self._shards.root.stamp(shard)):
                found = True
                key = f"{shard}/{member.name}"
                yield Item(key, label_of(member.label, self.names, key), split)
        if not found:
            raise SourceError(f"no image in {self.place}: expected tars of image files")

    def class_names(self) -> tuple[str, ...]:
        """Return the labels that occur, sorted; the first call looks through all tars."""
        return self._class_names

    def stamp(self, key: str) -> Stamp:
        """Return size and time of the tar that holds an image, MISSING where it is gone."""
        return self._shards.stamp(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of one image; raise ImageError where they cannot be read."""
        shard, name = self._shards.parted(key)
        stamp = self._shards.root.stamp(shard)
        if not name or stamp == MISSING:
            raise ImageError(NOT_FOUND)
        index = self._indexes.get((shard, stamp), lambda: self._index(shard, stamp))
        start, size = index.of(name) or (None, 0)
        if start is None:
            raise ImageError(NOT_FOUND)
        if start == NOT_HERE:
            raise ImageError(NO_BYTES)
        if start + size > stamp.size:
            raise ImageError(CUT_OFF)
        return self._shards.root.read_part(shard, start, size)

    @cached_property
    def _shards(self) -> Shards:
        return Shards(self.place, ".tar", self.split_folders)

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        """All labels, remembered: make a new source where the tars have changed."""
        return tuple(sorted({item.label for item in self if item.label is not None}))

    def _index(self, shard: str, stamp: Stamp) -> Pairs:
        """Return where each image of a tar begins, and how long it is."""
        pairs = Pairs()
        for member in self._members(shard, stamp):
            pairs.add(member.name, member.start, member.size)
        return pairs

    def _members(self, shard: str, stamp: Stamp) -> Iterator[Member]:
        """Yield the images of a tar, from its headers where it is new, else from the spool."""
        span = self._spans.get((shard, stamp))
        if span is None:
            span = self._spans[shard, stamp] = self._spool.put(self._scan(shard))
        return (Member(*json.loads(line)) for line in self._spool.lines(span))

    def _scan(self, shard: str) -> Iterator[bytes]:
        try:
            with self._shards.root.open(shard, BUFFER) as file:
                for member in scan(file, f"{self._shards.root}/{shard}"):
                    yield json.dumps(member).encode()
        except OSError as error:
            raise SourceError(
                f"cannot read {self._shards.root}/{shard} ({error.strerror}): expected a .tar"
            ) from error


class _Spans(dict[tuple[str, Stamp], Span]):
    """Where the members of each tar are noted; a copy has its own spool, and begins empty."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _Spans, ()
