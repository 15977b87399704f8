"""Holding a source against a cache: which images are new, changed, relabelled or gone.

The comparison keeps 8 bytes of hash an image instead of its name, so that a listing of a hundred
million images still fits in memory.
"""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from clipcache.arrays import RowIds
from clipcache.cache.layout import LISTING, State
from clipcache.cache.locks import WHOLE, Share
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.errors import SourceError
from clipcache.images.base import MISSING, SPLITS, Item, Source, Stamp

Hashes = npt.NDArray[np.uint64]


def hash_keys(source: Source) -> Hashes:
    """Return one hash an image, in the order of the source.

    Raises SourceError where the source is empty or names an image twice.
    """
    hashes = np.fromiter((_hash(item.key) for item in source), dtype=np.uint64)
    if not len(hashes):
        raise SourceError(
            "the source lists no image that could be embedded; is a filter too strict?"
        )
    values, counts = np.unique(hashes, return_counts=True)
    if (counts > 1).any():
        twice = set(values[counts > 1][:1].tolist())
        names = [item.key for item in source if _hash(item.key) in twice]
        raise SourceError(
            f"{names[0]} is listed {len(names)} times; an image needs one line: remove the others"
        )
    return hashes


def merge_names(known: Sequence[str], found: Sequence[str]) -> tuple[str, ...]:
    """Return the known class names with new ones behind, so that stored indices stay true."""
    return (*known, *(name for name in found if name not in set(known)))


class Match(NamedTuple):
    """Which images of a source a cache has already, and in which rows."""

    hashes: Hashes
    """(images,) of `hash_keys`."""
    row_of: RowIds
    """(images,) the row of each image that is not new."""
    is_new: npt.NDArray[np.bool_]
    """(images,)"""
    listing: dict[str, npt.NDArray[Any]]
    """The columns of the cache; `write_listing` brings them up to date."""
    listed: npt.NDArray[np.bool_]
    """(rows,) which of the cache's rows the source lists."""


def match(cache: EmbeddingCache, hashes: Hashes) -> Match:
    """Find the images of a source, by their `hash_keys`, among the rows of a cache."""
    old = cache.n
    listing = cache.listing()
    known = np.fromiter((_hash(key) for key in listing["key"]), dtype=np.uint64, count=old)
    order = np.argsort(known)
    place = np.searchsorted(known, hashes, sorter=order)
    place[place == old] = 0
    row_of = order[place] if old else place
    is_new = known[row_of] != hashes if old else np.ones(len(hashes), dtype=bool)
    listed = np.zeros(old, dtype=bool)
    listed[row_of[~is_new]] = True
    return Match(hashes, row_of, is_new, listing, listed)


def refuse_forgotten_split(cache: EmbeddingCache, source: Source, found: Match) -> None:
    """Raise SourceError where a source that holds nothing out lists what the cache holds out."""
    moved = int((found.listed & (found.listing["split"] == SPLITS.index("test"))).sum())
    if moved and not any(item.split == "test" for item in source):
        raise SourceError(
            f"{cache.path} holds {moved} images out to measure accuracy, and without --split they "
            "would all come to the pool; give --split as before, such as --split random:0.2, or "
            "--split none if that is meant"
        )


def refuse_lost_files(cache: EmbeddingCache, source: Source, found: Match) -> None:
    """Raise SourceError where no file is left of all embedded images that a source lists.

    A path that leads astray must not cost the vectors of a whole cache.
    """
    keys = found.listing["key"][found.listed & (cache.read("state") == State.DONE)]
    if len(keys) and all(source.stamp(key) == MISSING for key in keys):
        raise SourceError(
            f"none of the {len(keys)} images that {cache.path} has already is found any more, "
            f"the first is {keys[0]}; do --root and --path-pattern lead to the files?"
        )


def write_listing(
    writer: CacheWriter, source: Source, names: Sequence[str], found: Match
) -> npt.NDArray[np.bool_]:
    """Give each new image a row, bring labels and splits up to date, and seal both.

    Returns (n,) bool: which rows the source still lists.
    """
    old, is_new = writer.cache.n, found.is_new
    listed = np.concatenate([found.listed, np.ones(int(is_new.sum()), dtype=bool)])
    label_index = {name: index for index, name in enumerate(names)}
    # Also for a new cache: this pass notices a source that has changed before any row is made.
    _update_known(writer, found, _again(source, found.hashes), label_index)
    if len(listed) > old:
        writer.grow(len(listed))
        again = zip(_again(source, found.hashes), is_new, strict=True)
        _append_new(writer, (item for item, new in again if new), old, label_index)
    return listed


def _update_known(
    writer: CacheWriter, found: Match, items: Iterator[Item], label_index: dict[str, int]
) -> None:
    """Rewrite the chunks in which the source now says another label or split."""
    cache, listing = writer.cache, found.listing
    labels, splits = listing["label"], listing["split"]
    changed = np.zeros(cache.chunks, dtype=bool)
    for item, row, new in zip(items, found.row_of, found.is_new, strict=True):
        if new:
            continue
        label, split = _codes(item, label_index)
        if labels[row] != label or splits[row] != split:
            labels[row], splits[row] = label, split
            changed[row // cache.chunk_rows] = True
    for chunk in np.flatnonzero(changed).tolist():
        rows = cache.span(chunk)
        values = {name: column[rows] for name, column in listing.items()}
        writer.commit("listing", chunk, values)


def _append_new(
    writer: CacheWriter, items: Iterator[Item], row: int, label_index: dict[str, int]
) -> None:
    """Write the listing of new images from `row` on, chunk by chunk."""
    cache = writer.cache
    while row < cache.n:
        chunk = row // cache.chunk_rows
        rows = cache.span(chunk)
        batch = list(islice(items, rows.stop - row))
        codes = np.array([_codes(item, label_index) for item in batch])
        fresh = {
            "key": np.array([i.key for i in batch]),
            "label": codes[:, 0],
            "split": codes[:, 1],
        }
        before = slice(rows.start, row)
        values = {
            name: np.concatenate([cache.read(name, before), fresh[name]]).astype(
                cache.array(f"images/{name}").dtype
            )
            for name in LISTING
        }
        writer.commit("listing", chunk, values)
        row = rows.stop


def find_work(
    writer: CacheWriter, source: Source, listed: npt.NDArray[np.bool_], share: Share = WHOLE
) -> Iterator[tuple[int, RowIds]]:
    """Yield (chunk, rows) to encode: those never finished, and those whose file has changed."""
    cache = writer.cache
    finished = cache.finished_rows("result")
    for chunk in filter(share.has, range(cache.chunks)):
        span = cache.span(chunk)
        rows = np.arange(span.start, span.stop)
        pending = rows >= span.start + finished[chunk]
        keys, stamps = cache.read("key", span).tolist(), cache.read("stamp", span).tolist()
        pending |= cache.read("state", span) == State.PENDING
        for position in np.flatnonzero(~pending & listed[span]).tolist():
            pending[position] = source.stamp(keys[position]) != Stamp(*stamps[position])
        if pending.any():
            yield chunk, rows[pending]


def _again(source: Source, hashes: Hashes) -> Iterator[Item]:
    """Yield the items once more; SourceError where they are no longer those that were hashed."""
    number = 0
    for number, item in enumerate(source, 1):
        if number > len(hashes) or _hash(item.key) != hashes[number - 1]:
            break
        yield item
    else:
        if number == len(hashes):
            return
    raise SourceError("the source lists other images than a moment ago; run this again")


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")


def _codes(item: Item, label_index: dict[str, int]) -> tuple[int, int]:
    """Return label and split of an item as the cache stores them."""
    label = -1 if item.label is None else label_index[item.label]
    return label, SPLITS.index(item.split)
