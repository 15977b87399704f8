"""From a source of images to a finished cache: one pass, then never again.

The listing goes to disk first, then chunk by chunk the embeddings, which an engine sees to: in this
process, in several, or on many machines. A run that was killed and repeated, or divided, ends with
the same bytes as one that was left alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.cache.info import count_usable
from clipcache.cache.layout import CHUNK_ROWS, State
from clipcache.cache.locks import WHOLE, Share
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.encoders.base import Encoder
from clipcache.engines.inline import Inline
from clipcache.engines.work import Engine, Task, Unit
from clipcache.errors import CacheDamagedError, SourceError
from clipcache.images.base import Source
from clipcache.images.files import NOT_FOUND
from clipcache.images.roots import Place
from clipcache.listing import (
    find_work,
    hash_keys,
    match,
    merge_names,
    refuse_forgotten_split,
    refuse_lost_files,
    write_listing,
)
from clipcache.text import DEFAULT_TEMPLATES, check_templates, text_for

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
    share: Share = WHOLE
    """Which chunks to do; other processes do the others, at the same time or another."""


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
    pending: int = 0
    """Images that are left for other shares to read."""


def embed(
    source: Source,
    encoder: Encoder,
    path: Place,
    options: EmbedOptions,
    progress: Progress = lambda done, failed, total: None,
    *,
    engine: Engine | None = None,
) -> EmbedSummary:
    """Bring the cache at `path` up to date with the source and return what was done.

    `engine` decides where chunks are done; None: in this process, with `encoder`.

    New images get new rows, changed ones are encoded again, all others are left alone. An image
    that cannot be used keeps its row and its reason.

    Raises SourceError for a broken listing, a forgotten split or files that are all gone (before
    anything is written) and where no image could be used (they keep their reasons), ImageError for
    the first unusable image with `options.strict`, and the CacheErrors of `CacheWriter.open`.
    """
    check_templates(options.templates)
    found = source.class_names()
    hashes = hash_keys(source)
    with CacheWriter.open(
        path, encoder.identity, chunk_rows=options.chunk_rows, share=options.share
    ) as writer:
        known = match(writer.cache, hashes)
        if options.keep_held_out:
            refuse_forgotten_split(writer.cache, source, known)
        refuse_lost_files(writer.cache, source, known)
        names = _write_text(writer, encoder, found, options.templates)
        listed = write_listing(writer, source, names, known)
        writer.listed()
        work = [Unit(*found) for found in find_work(writer, source, listed, options.share)]
        place = path.resolve() if isinstance(path, Path) else path  # workers may be elsewhere
        task = Task(place, source, options.batch_size, options.workers, options.strict)
        began = time.perf_counter()
        _run(engine or Inline(encoder), task, work, progress, writer.check)
        seconds = time.perf_counter() - began
        processed = sum(len(unit.rows) for unit in work)
        summary = summarise(
            writer.cache, len(hashes), processed, gone=int((~listed).sum()), seconds=seconds
        )
        if not summary.pool + summary.test and summary.failed == writer.cache.n:
            _refuse_all(summary.failures[0], writer.cache.read("reason"))
    return summary


def summarise(
    cache: EmbeddingCache, images: int, processed: int, *, gone: int, seconds: float
) -> EmbedSummary:
    """Return what was done, and what the cache holds now."""
    states = cache.read("state")
    failed, pending = np.flatnonzero(states == State.FAILED), int((states == State.PENDING).sum())
    pool, test, unlabelled = count_usable(cache)
    return EmbedSummary(
        images=images,
        processed=processed,
        unchanged=images - processed - pending,
        failed=len(failed),
        gone=gone,
        seconds=seconds,
        failures=tuple(_failure(cache, row) for row in failed[:10].tolist()),
        pool=pool,
        test=test,
        unlabelled=unlabelled,
        pending=pending,
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
        writer.write_text(text_for(encoder, names, templates))
    return names


def _run(
    engine: Engine, task: Task, work: list[Unit], progress: Progress, check: Callable[[], None]
) -> None:
    """Have all of `work` done, and tell how far that is; `check` may end it."""
    total = sum(len(unit.rows) for unit in work)
    done = failed = 0
    progress(done, failed, total)
    for seen in engine.run(task, work):
        done, failed = done + seen.images, failed + seen.failed
        progress(done, failed, total)
        check()


def _failure(cache: EmbeddingCache, row: int) -> str:
    one = slice(row, row + 1)
    return f"{cache.read('key', one)[0]}: {cache.read('reason', one)[0]}"
