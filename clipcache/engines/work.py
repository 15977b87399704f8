"""Do chunks: what every engine has its workers do, wherever they run.

Threads decode ahead, others encode, another one writes; a few batches of pixels and three chunks of
vectors are in memory, whatever the size of the source.

Batches never cross a chunk and are cut the same way on every run, so a chunk has the same bytes
whoever does it, and however often.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Pixels, RowIds, Vectors
from clipcache.cache.layout import RESULT, State
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.encoders.base import Encoder
from clipcache.encoders.lanes import encoding_threads
from clipcache.errors import ImageError
from clipcache.images.base import MISSING, PassingError, Source, Stamp
from clipcache.images.roots import Place

AHEAD = 2
"""Batches that may be decoded while one is encoded."""

MakeEncoder = Callable[[], Encoder]
"""Makes the encoder of a cache; other processes and machines get a copy of the function."""


@dataclass(frozen=True)
class Task:
    """What a worker must know; it can be sent to other processes and machines."""

    cache: Place
    """The cache, whose rows are listed already."""
    source: Source
    batch_size: int
    """Images that are encoded at once; in the last bits it changes what is stored."""
    threads: int
    """How many decode."""
    strict: bool = False
    """Stop at the first image that cannot be used."""


class Unit(NamedTuple):
    """What one worker does as a whole: some or all rows of one chunk."""

    chunk: int
    rows: RowIds


class Seen(NamedTuple):
    """What a worker tells while it works."""

    chunk: int
    images: int
    """Images that were looked at since the last time."""
    failed: int
    """How many of these cannot be used."""
    sealed: bool = False
    """Whether the whole chunk is on disk."""


class Engine(Protocol):
    """Has chunks done."""

    def run(self, task: Task, units: Iterable[Unit]) -> Iterator[Seen]:
        """Have each unit done once, and tell how far that is."""
        ...


class Image(NamedTuple):
    """One image to look at."""

    row: int
    key: str
    digest: bytes
    """SHA-256 of the file that its embedding was made from; zeros where there is none."""


class Loaded(NamedTuple):
    """What became of an image: pixels, or why there are none, or neither where it is the same."""

    image: Image
    stamp: Stamp
    digest: bytes
    new: bool = False
    """Whether there are pixels; they are gone once its batch is put together."""
    pixels: Pixels | None = None
    reason: str = ""


def do_chunks(task: Task, encoder: Encoder, units: Iterable[Unit]) -> Iterator[Seen]:
    """Decode, encode and write all rows of the units, each of the three beside the others.

    The next unit is asked for as soon as its images can be decoded. Raises ImageError for the first
    image that cannot be used where `task.strict`, CacheIdentityError where another encoder made the
    cache, CacheDamagedError where a chunk that was finished before is not what was written.
    """
    writer = CacheWriter.beside(task.cache, encoder.identity)
    load = partial(_load, task.source, encoder)
    images = _images(writer.cache, units)
    ahead = (AHEAD + encoder.lanes - 1) * task.batch_size
    with (
        ThreadPoolExecutor(task.threads) as decoders,
        encoding_threads(encoder.lanes) as lanes,
        ThreadPoolExecutor(1) as disk,
        # Closed first: the decoders end when all that waits is decoded, or cancelled.
        closing(_map_ahead(decoders, load, images, ahead)) as loaded,
    ):
        parts = _parts(writer.cache, loaded, task, lambda b: lanes.submit(encoder.encode_images, b))
        written: Future[Seen] | None = None
        for part in _later(parts, encoder.lanes):
            if part.batch:
                yield _fill(part, strict=task.strict)
                continue
            if written:
                yield written.result()
            written = disk.submit(_commit, writer, part)
        if written:
            yield written.result()


class Part(NamedTuple):
    """A batch of a chunk on its way, or the end of the chunk."""

    chunk: int
    start: int
    """The first row of the chunk."""
    values: dict[str, npt.NDArray[Any]]
    """All columns of the chunk, which batches fill in."""
    batch: list[Loaded]
    """Empty at the end of the chunk."""
    vectors: Future[Vectors] | None = None
    """Rows for the images of the batch that have pixels; None where none has."""


def _parts(
    cache: EmbeddingCache,
    loaded: Iterator[Loaded],
    task: Task,
    encode: Callable[[Pixels], Future[Vectors]],
) -> Iterator[Part]:
    """Cut images into batches, and have each one encoded."""
    for chunk, images in groupby(loaded, lambda one: one.image.row // cache.chunk_rows):
        part = Part(chunk, cache.span(chunk).start, _values(cache, chunk), [])
        for batch in _batches(images, task.batch_size):
            yield part._replace(batch=batch, vectors=_encoded(batch, encode))
        yield part


def _encoded(
    batch: list[Loaded], encode: Callable[[Pixels], Future[Vectors]]
) -> Future[Vectors] | None:
    """Have a batch encoded, which keeps no pixels: they are in memory once, until that is done."""
    pixels = [one.pixels for one in batch if one.pixels is not None]
    batch[:] = [one._replace(pixels=None) for one in batch]
    return encode(np.stack(pixels)) if pixels else None


def _later(parts: Iterator[Part], count: int) -> Iterator[Part]:
    """Hand on what was begun `count` parts before, so that as many are always under way."""
    begun: deque[Part] = deque()
    for part in parts:
        begun.append(part)
        if len(begun) > count:
            yield begun.popleft()
    yield from begun


def _values(cache: EmbeddingCache, chunk: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a chunk holds so far, to be filled in."""
    if cache.seal_of("result", chunk).any():
        cache.check("result", chunk)  # a new seal must not hide damage
    return {name: cache.read(name, cache.span(chunk)) for name in RESULT}


def _commit(writer: CacheWriter, part: Part) -> Seen:
    writer.commit("result", part.chunk, part.values)
    return Seen(part.chunk, 0, 0, sealed=True)


def _images(cache: EmbeddingCache, units: Iterable[Unit]) -> Iterator[Image]:
    for chunk, rows in units:
        span = cache.span(chunk)
        keys, digests = cache.read("key", span), cache.read("digest", span)
        done = cache.read("state", span) == State.DONE
        for row in rows.tolist():
            place = row - span.start
            digest = digests[place].tobytes() if done[place] else bytes(32)
            yield Image(row, str(keys[place]), digest)


def _load(source: Source, encoder: Encoder, image: Image) -> Loaded:
    """Read, decode and preprocess one image; runs in a thread."""
    stamp, digest = source.stamp(image.key), bytes(32)
    try:
        data = source.read(image.key)
        digest = hashlib.sha256(data).digest()
        if digest == image.digest:
            return Loaded(image, stamp, digest)
        return Loaded(image, stamp, digest, new=True, pixels=encoder.prepare(data))
    except PassingError as error:  # the next run finds another stamp, and tries again
        return Loaded(image, MISSING, digest, reason=str(error))
    except ImageError as error:
        return Loaded(image, stamp, digest, reason=str(error))


def _map_ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[Image], Loaded],
    images: Iterable[Image],
    ahead: int,
) -> Generator[Loaded, None, None]:
    """Map in order with at most `ahead` results waiting; cancel the rest when the reader stops."""
    waiting: deque[Future[Loaded]] = deque()
    try:
        for image in images:
            waiting.append(pool.submit(function, image))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _batches(loaded: Iterator[Loaded], size: int) -> Iterator[list[Loaded]]:
    """Cut into lists that hold `size` usable images each, the last one fewer."""
    batch: list[Loaded] = []
    usable = 0
    for one in loaded:
        batch.append(one)
        usable += one.new
        if usable == size:
            yield batch
            batch, usable = [], 0
    if batch:
        yield batch


def _fill(part: Part, *, strict: bool) -> Seen:
    """Put the outcome of each image of a batch in its place in the chunk."""
    values = part.values
    new = [one for one in part.batch if one.new]
    bad = [one for one in part.batch if one.reason]
    if bad and strict:
        raise ImageError(f"{bad[0].image.key}: {bad[0].reason} (--strict)")
    values["stamp"][_places(part, part.batch)] = [one.stamp for one in part.batch]
    for images, state in ((new, State.DONE), (bad, State.FAILED)):
        places = _places(part, images)
        values["state"][places] = state
        for place, one in zip(places, images, strict=True):
            values["digest"][place] = np.frombuffer(one.digest, dtype=np.uint8)
            values["reason"][place] = one.reason
    values["embedding"][_places(part, bad)] = 0
    if part.vectors:
        values["embedding"][_places(part, new)] = part.vectors.result()
    return Seen(part.chunk, len(part.batch), len(bad))


def _places(part: Part, images: list[Loaded]) -> list[int]:
    return [one.image.row - part.start for one in images]
