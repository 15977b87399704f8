"""From a source of images to a finished cache: one pass, then never again.

The listing goes to disk first, then chunk by chunk the embeddings. Threads decode ahead, the
calling thread encodes, another one writes; a few batches of pixels and two chunks of vectors are in
memory, whatever the size of the source.

Batches never cross a chunk and are cut the same way on every run, so a run that was killed and
repeated ends with the same bytes as one that was left alone.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from clipcache.arrays import RowIds
from clipcache.cache.info import count_usable
from clipcache.cache.layout import CHUNK_ROWS, RESULT, State
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.encoders.base import Encoder, Pixels
from clipcache.errors import CacheDamagedError, ImageError, SourceError
from clipcache.images.base import Source, Stamp
from clipcache.images.decode import decode
from clipcache.images.files import NOT_FOUND
from clipcache.listing import (
    find_work,
    hash_keys,
    match,
    merge_names,
    refuse_forgotten_split,
    refuse_lost_files,
    write_listing,
)
from clipcache.text import DEFAULT_TEMPLATES, check_templates, encode_names

AHEAD = 2
"""Batches that may be decoded while one is encoded."""

Progress = Callable[[int, int, int], None]
"""Called with (images finished, of these failed, images to do)."""


@dataclass(frozen=True)
class EmbedOptions:
    """How to embed; `templates` and, in the last bits, `batch_size` change what is stored."""

    templates: tuple[str, ...] = DEFAULT_TEMPLATES
    batch_size: int = 64
    workers: int = 2
    chunk_rows: int = CHUNK_ROWS
    """Images a unit of work, for a new cache: what a crash can cost."""
    strict: bool = False
    """Stop at the first image that cannot be used."""
    keep_held_out: bool = False
    """Refuse a source that holds nothing out where that would empty the test split."""


@dataclass(frozen=True)
class EmbedSummary:
    """What one call did."""

    images: int
    """Images that the source lists."""
    processed: int
    """Images that were read in this call, the failed ones among them."""
    unchanged: int
    failed: int
    """Images of the whole cache that could not be used."""
    gone: int
    """Rows that the source no longer lists; they are kept."""
    seconds: float
    """Time spent on the images, without listing and without loading the encoder."""
    failures: tuple[str, ...]
    """The first ten failed images, each "key: reason"."""
    pool: int
    """Images of the whole cache that may be labelled; like the next two, without failed ones."""
    test: int
    """Images that are held out to measure accuracy."""
    unlabelled: int


class Task(NamedTuple):
    """One image to look at."""

    row: int
    key: str
    digest: bytes
    """SHA-256 of the file that its embedding was made from; zeros where there is none."""


class Loaded(NamedTuple):
    """What became of a task: pixels, or a reason why not, or neither where the file is the same."""

    task: Task
    stamp: Stamp
    digest: bytes
    pixels: Pixels | None = None
    reason: str = ""


def embed(
    source: Source,
    encoder: Encoder,
    path: Path,
    options: EmbedOptions,
    progress: Progress = lambda done, failed, total: None,
) -> EmbedSummary:
    """Bring the cache at `path` up to date with the source and return what was done.

    New images get new rows, changed ones are encoded again, all others are left alone. An image
    that cannot be used keeps its row and its reason.

    Raises SourceError for a broken listing, a forgotten split or files that are all gone (before
    anything is written) and where no image could be used (they keep their reasons), ImageError for
    the first unusable image with `options.strict`, and the CacheErrors of `CacheWriter.open`.
    """
    check_templates(options.templates)
    found = source.class_names()
    hashes = hash_keys(source)
    with CacheWriter.open(path, encoder.identity, chunk_rows=options.chunk_rows) as writer:
        known = match(writer.cache, hashes)
        if options.keep_held_out:
            refuse_forgotten_split(writer.cache, source, known)
        refuse_lost_files(writer.cache, source, known)
        names = _write_text(writer, encoder, found, options.templates)
        listed = write_listing(writer, source, names, known)
        work = list(find_work(writer, source, listed))
        began = time.perf_counter()
        _encode(writer, source, encoder, options, work, progress)
        seconds = time.perf_counter() - began
        processed = sum(len(rows) for _, rows in work)
        summary = summarise(
            writer.cache, len(hashes), processed, gone=int((~listed).sum()), seconds=seconds
        )
        if not summary.pool + summary.test:
            _refuse_all(summary.failures[0], writer.cache.read("reason"))
    return summary


def summarise(
    cache: EmbeddingCache, images: int, processed: int, *, gone: int, seconds: float
) -> EmbedSummary:
    """Return what was done, and what the cache holds now."""
    failed = np.flatnonzero(cache.read("state") == State.FAILED)
    pool, test, unlabelled = count_usable(cache)
    return EmbedSummary(
        images=images,
        processed=processed,
        unchanged=images - processed,
        failed=len(failed),
        gone=gone,
        seconds=seconds,
        failures=tuple(_failure(cache, row) for row in failed[:10].tolist()),
        pool=pool,
        test=test,
        unlabelled=unlabelled,
    )


def _refuse_all(first: str, reasons: npt.NDArray[Any]) -> None:
    """Raise SourceError: all images have failed."""
    lost = (reasons == NOT_FOUND).all()
    hint = "; do --root and --path-pattern lead to the files?" if lost else ""
    raise SourceError(f"none of the {len(reasons)} images can be used, the first is {first}{hint}")


def _write_text(
    writer: CacheWriter, encoder: Encoder, found: tuple[str, ...], templates: tuple[str, ...]
) -> tuple[str, ...]:
    """Encode the class names unless the cache has them already; return all names in order."""
    names = merge_names(writer.cache.names(), found)
    try:
        text = writer.cache.text()
    except CacheDamagedError:  # a kill came between names and vectors
        text = None
    if names and (text is None or (text.names, text.templates) != (names, templates)):
        writer.write_text(encode_names(encoder, names, templates))
    return names


def _encode(
    writer: CacheWriter,
    source: Source,
    encoder: Encoder,
    options: EmbedOptions,
    work: list[tuple[int, RowIds]],
    progress: Progress,
) -> None:
    """Decode, encode and write all rows of `work`, each of the three beside the others."""
    total = sum(len(rows) for _, rows in work)
    done = failed = 0
    progress(done, failed, total)
    with (
        ThreadPoolExecutor(options.workers) as decoders,
        ThreadPoolExecutor(1) as disk,
    ):
        written: Future[None] | None = None
        load = partial(_load, source, encoder)
        tasks = (task for chunk, rows in work for task in _tasks(writer.cache, chunk, rows))
        images = _map_ahead(decoders, load, tasks, AHEAD * options.batch_size)
        for chunk, part in groupby(images, lambda i: i.task.row // writer.cache.chunk_rows):
            span = writer.cache.span(chunk)
            if writer.cache.seal_of("result", chunk).any():
                writer.cache.check("result", chunk)  # a new seal must not hide damage
            values = {name: writer.cache.read(name, span) for name in RESULT}
            for batch in _batches(part, options.batch_size):
                _fill(values, batch, encoder, span.start)
                bad = [image for image in batch if image.reason]
                if bad and options.strict:
                    raise ImageError(f"{bad[0].task.key}: {bad[0].reason} (--strict)")
                done, failed = done + len(batch), failed + len(bad)
                progress(done, failed, total)
            if written:
                written.result()
            written = disk.submit(writer.commit, "result", chunk, values)
        if written:
            written.result()


def _load(source: Source, encoder: Encoder, task: Task) -> Loaded:
    """Read, decode and preprocess one image; runs in a worker thread."""
    stamp, digest = source.stamp(task.key), bytes(32)
    try:
        data = source.read(task.key)
        digest = hashlib.sha256(data).digest()
        if digest == task.digest:
            return Loaded(task, stamp, digest)
        return Loaded(task, stamp, digest, pixels=encoder.preprocess(decode(data)))
    except ImageError as error:
        return Loaded(task, stamp, digest, reason=str(error))


def _map_ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[Task], Loaded],
    tasks: Iterable[Task],
    ahead: int,
) -> Iterator[Loaded]:
    """Map in order with at most `ahead` results waiting; cancel the rest when the reader stops."""
    waiting: deque[Future[Loaded]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(function, task))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _batches(images: Iterator[Loaded], size: int) -> Iterator[list[Loaded]]:
    """Cut into lists that hold `size` usable images each, the last one fewer."""
    batch: list[Loaded] = []
    usable = 0
    for image in images:
        batch.append(image)
        usable += image.pixels is not None
        if usable == size:
            yield batch
            batch, usable = [], 0
    if batch:
        yield batch


def _fill(
    values: dict[str, npt.NDArray[Any]], batch: list[Loaded], encoder: Encoder, start: int
) -> None:
    """Encode a batch and put the outcome of each of its images in its place in the chunk."""
    position = np.array([image.task.row - start for image in batch])
    values["stamp"][position] = [image.stamp for image in batch]
    new = [image for image in batch if image.pixels is not None]
    bad = [image for image in batch if image.reason]
    if new:
        position = np.array([image.task.row - start for image in new])
        pixels = np.stack([image.pixels for image in new if image.pixels is not None])
        values["embedding"][position] = encoder.encode_images(pixels)
    for images, state in ((new, State.DONE), (bad, State.FAILED)):
        for image in images:
            place = image.task.row - start
            values["digest"][place] = np.frombuffer(image.digest, dtype=np.uint8)
            values["state"][place] = state
            values["reason"][place] = image.reason
            if state == State.FAILED:
                values["embedding"][place] = 0


def _tasks(cache: EmbeddingCache, chunk: int, rows: RowIds) -> Iterator[Task]:
    span = cache.span(chunk)
    keys, digests = cache.read("key", span), cache.read("digest", span)
    done = cache.read("state", span) == State.DONE
    for row in rows.tolist():
        place = row - span.start
        yield Task(row, str(keys[place]), digests[place].tobytes() if done[place] else bytes(32))


def _failure(cache: EmbeddingCache, row: int) -> str:
    one = slice(row, row + 1)
    return f"{cache.read('key', one)[0]}: {cache.read('reason', one)[0]}"
