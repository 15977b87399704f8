"""From embeddings made elsewhere to a finished cache, as if `embed` had made them.

Two passes: the first one hashes the vectors and looks for rows that cannot be used, so that nothing
is written of a file that is refused; the second one writes chunk by chunk. Row i of the source is
row i of the cache.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.cache.layout import CHUNK_ROWS, State, seal_text
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.embed import EmbedSummary, Progress, summarise
from clipcache.encoders.base import Identity
from clipcache.errors import CacheDamagedError, CacheError, ImageError, SourceError
from clipcache.images.base import MISSING, Source
from clipcache.images.roots import Place
from clipcache.listing import (
    hash_keys,
    match,
    merge_names,
    refuse_forgotten_split,
    write_listing,
)
from clipcache.text import LabelText
from clipcache.vectors.base import Raw, VectorSet
from clipcache.vectors.unit import faults, unit_rows

UNKNOWN = "unknown"
TEMPLATES = ("imported",)
"""What stands for the prompts of text vectors: nobody knows them."""


@dataclass(frozen=True)
class ImportOptions:
    """How to import."""

    model: str = UNKNOWN
    """The encoder that the vectors were made with, in the user's words."""
    logit_scale: float = 100.0
    """The encoder's factor from cosine to logit; OpenAI's models learned 100."""
    chunk_rows: int = CHUNK_ROWS
    """Rows a unit of work, for a new cache: what a crash can cost."""
    strict: bool = False
    """Stop at the first row that cannot be used."""
    keep_held_out: bool = False
    """Refuse a source that holds nothing out where that would empty the test split."""


def import_features(
    found: VectorSet,
    path: Place,
    options: ImportOptions,
    progress: Progress = lambda done, failed, total: None,
) -> EmbedSummary:
    """Bring the vectors into the cache at `path` and return what was done.

    A row that cannot be used keeps its place and its reason. Into a cache that has the same vectors
    nothing is written but what a kill cut off, or what changed of labels, splits and text.

    Raises, before anything is written: SourceError where a key is there twice, a split was
    forgotten or no row can be used, ImageError for the first unusable row with `options.strict`,
    and the CacheErrors of `CacheWriter.open`, CacheIdentityError for other vectors among them.
    """
    weights = _survey(found, options.strict)
    hashes = hash_keys(found.rows)
    if len(hashes) != found.n:
        raise SourceError(f"{found.name} has other keys than a moment ago; run this again")
    identity = Identity(
        library="import",
        model=options.model,
        pretrained=found.name,
        weights=weights,
        preprocessing="unknown, rows normalised on import",
        image_size=0,
        dim=found.dim,
        dtype=found.dtype.name,
    )
    with CacheWriter.open(path, identity, chunk_rows=options.chunk_rows) as writer:
        _check_keys(writer.cache, found.rows)
        known = match(writer.cache, hashes)
        if options.keep_held_out:
            refuse_forgotten_split(writer.cache, found.rows, known)
        names = _write_text(writer, found, options.logit_scale)
        write_listing(writer, found.rows, names, known)
        began = time.perf_counter()
        processed = _write_rows(writer, found, progress)
        seconds = time.perf_counter() - began
        return summarise(writer.cache, found.n, processed, gone=0, seconds=seconds)


def _survey(found: VectorSet, strict: bool) -> str:
    """Return the SHA-256 of type, width and all rows, in hexadecimal.

    Raises ImageError for the first unusable row where `strict`, SourceError where all are.
    """
    sha = hashlib.sha256(f"{found.dtype.name} {found.dim}\0".encode())
    usable = 0
    for start, rows in _blocks(found):
        sha.update(rows.data)
        reasons = faults(rows)
        bad = np.flatnonzero(reasons != "")
        usable += len(rows) - len(bad)
        if strict and len(bad):
            raise ImageError(f"row {start + bad[0]} of {found.name}: {reasons[bad[0]]} (--strict)")
    if not usable:
        raise SourceError(
            f"no row of {found.name} can be used, and there are {found.n}; of the last one "
            f"{reasons[-1]}"
        )
    return sha.hexdigest()


def _blocks(found: VectorSet) -> Iterator[tuple[int, Raw]]:
    """Yield all rows in pieces, each with its first row's number."""
    for start in range(0, found.n, CHUNK_ROWS):
        yield start, found.read(slice(start, min(found.n, start + CHUNK_ROWS)))


def _check_keys(cache: EmbeddingCache, source: Source) -> None:
    """Raise CacheError unless the rows of the cache are called as the first ones of the source.

    The vectors are known to be the same; called otherwise, they would be listed once more.
    """
    listed = cache.listing()["key"]
    for row, (known, item) in enumerate(zip_longest(listed, source)):
        if row == len(listed):
            return
        if item is None or known != item.key:
            raise CacheError(
                f"row {row} is called {known!r} in {cache.path}, but "
                f"{item.key if item else 'nothing'!r} in what is imported: give the same keys "
                "again, or another cache"
            )


def _write_text(writer: CacheWriter, found: VectorSet, logit_scale: float) -> tuple[str, ...]:
    """Store class names and their vectors unless the cache has them; return all names in order.

    A name without a vector gets NaN.
    """
    own = found.rows.class_names()
    names = merge_names(writer.cache.names(), own)
    if not names:
        return names
    vectors = np.full((len(names), found.dim), np.nan, dtype=np.float32)
    if found.text is not None:
        vectors[[names.index(name) for name in own]] = found.text
    templates = () if np.isnan(vectors).all() else TEMPLATES
    text = LabelText(names, templates, vectors, float(logit_scale))
    try:
        known = writer.cache.text()
    except CacheDamagedError:  # a kill came between names and vectors
        known = None
    if known is None or seal_text(known) != seal_text(text):
        writer.write_text(text)
    return names


def _write_rows(writer: CacheWriter, found: VectorSet, progress: Progress) -> int:
    """Write and seal all chunks that are not; return how many rows these have."""
    cache = writer.cache
    finished = cache.finished_rows("result")
    work = [cache.span(chunk) for chunk in np.flatnonzero(finished == 0).tolist()]
    total: int = sum(span.stop - span.start for span in work)
    done = failed = 0
    progress(done, failed, total)
    for span in work:
        values = _columns(found.read(span))
        writer.commit("result", span.start // cache.chunk_rows, values)
        done += span.stop - span.start
        failed += int((values["state"] == State.FAILED).sum())
        progress(done, failed, total)
    return total


def _columns(rows: Raw) -> dict[str, npt.NDArray[Any]]:
    """Return what a cache keeps of (k, d) rows; the digest is that of the bytes of a row."""
    reasons = faults(rows)
    good = reasons == ""
    embedding = np.zeros(rows.shape, dtype=np.float16)
    embedding[good] = unit_rows(rows[good])
    digests = b"".join(hashlib.sha256(row.data).digest() for row in rows)
    return {
        "embedding": embedding,
        "digest": np.frombuffer(digests, dtype=np.uint8).reshape(len(rows), 32),
        "stamp": np.full((len(rows), 2), MISSING, dtype=np.int64),
        "state": np.where(good, State.DONE, State.FAILED).astype(np.int8),
        "reason": reasons,
    }
