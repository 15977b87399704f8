"""The embedding pass and its parts, each alone, as a process of its own is asked to do them."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipcache.arrays import Pixels
from clipcache.benchmark.memory import forget_peak, peak_mb
from clipcache.cache.layout import RESULT
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.embed import EmbedOptions, embed
from clipcache.encoders.base import Encoder
from clipcache.encoders.lanes import encoding_threads
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.engines.choose import make_engine
from clipcache.engines.work import AHEAD
from clipcache.images.folder import Folder
from clipcache.listing import hash_keys, match, write_listing


@dataclass(frozen=True)
class Job:
    """What everybody is to do."""

    encoder: EncoderOptions
    images: Path
    """A folder without subfolders."""
    batch_size: int
    workers: int
    """Threads or processes that decode."""
    chunk_rows: int


class Lap(NamedTuple):
    """How long one thing took once."""

    images: int
    seconds: float
    peak_mb: float = 0.0
    """The process's largest memory meanwhile, libraries and model included; 0: not measured."""
    encoded: int = 0
    """Of the images, those that were read and encoded."""
    begun: float = 0.0
    """Of the seconds, those until the first batch was done."""
    first: int = 0
    """Images in that batch."""

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds

    @property
    def steady_rate(self) -> float:
        """Images a second from the first batch on."""
        return (self.images - self.first) / (self.seconds - self.begun)


@dataclass(frozen=True)
class Memory:
    """The peaks of one process, first without and then with all that embedding needs."""

    name: str
    alone_mb: float
    """Libraries, model, and as many batches as ever wait, of which some are being encoded."""
    peak_mb: float
    """The same process after it has embedded the images."""

    @property
    def above_mb(self) -> float:
        """What embedding needs beyond these."""
        return self.peak_mb - self.alone_mb


loaded = cache(load_encoder)


def load(job: Job) -> tuple[str, int, bool]:
    """Load the encoder; return its name, how many batches it encodes at once, if on a GPU."""
    encoder = loaded(job.encoder)
    on_gpu = getattr(getattr(encoder, "tower", None), "device", None)
    return str(encoder.identity), encoder.lanes, on_gpu is not None and on_gpu.type == "cuda"


def end_to_end(job: Job, path: Path, engine: str = "inline") -> Lap:
    """Embed the images into a cache at `path`; what is there already is left alone."""
    encoder = loaded(job.encoder)
    first, begun = 0, 0.0

    def progress(done: int, failed: int, total: int) -> None:
        nonlocal first, begun
        if done and not first:
            first, begun = done, time.perf_counter() - began

    options = EmbedOptions(
        batch_size=job.batch_size, workers=job.workers, chunk_rows=job.chunk_rows
    )
    chosen = make_engine(engine, job.encoder.settled(encoder.identity), None)
    forget_peak()
    began = time.perf_counter()
    summary = embed(Folder(job.images), encoder, path, options, progress, engine=chosen)
    seconds = time.perf_counter() - began
    peak = peak_mb() if engine == "inline" else 0.0
    return Lap(summary.images, seconds, peak, summary.processed, begun, first)


def encoding(job: Job, batches: int) -> Lap:
    """Encode so many batches that are ready, as many side by side as when embedding."""
    encoder = loaded(job.encoder)
    ready = _waiting(job, encoder)
    with encoding_threads(encoder.lanes) as lanes:
        forget_peak()
        began = time.perf_counter()
        under_way = [
            lanes.submit(encoder.encode_images, ready[turn % len(ready)]) for turn in range(batches)
        ]
        rows = sum(len(each.result()) for each in under_way)
        return Lap(rows, time.perf_counter() - began, peak_mb())


def decoding(job: Job, threads: int, count: int | None = None) -> Lap:
    """Read and prepare `count` images or all with so many threads."""
    encoder, source = loaded(job.encoder), Folder(job.images)
    keys = [item.key for item in islice(source, count)]
    with ThreadPoolExecutor(threads) as pool, encoding_threads(1):
        began = time.perf_counter()
        done = sum(pool.map(partial(_prepare, source, encoder), keys))
        return Lap(done, time.perf_counter() - began)


def writing(job: Job, full: Path, empty: Path) -> Lap:
    """Write a new cache at `empty`, listing and all, with what a finished one holds."""
    done, source = EmbeddingCache.open(full), Folder(job.images)
    chunks = [
        {name: done.read(name, done.span(chunk)) for name in RESULT} for chunk in range(done.chunks)
    ]
    began = time.perf_counter()
    with CacheWriter.open(empty, done.identity, chunk_rows=job.chunk_rows) as writer:
        write_listing(writer, source, (), match(writer.cache, hash_keys(source)))
        writer.listed()
        for chunk, values in enumerate(chunks):
            writer.commit("result", chunk, values)
    return Lap(done.n, time.perf_counter() - began)


def memory(job: Job, path: Path) -> Memory:
    """Measure in a process that has done nothing before what embedding adds to the encoder."""
    encoder = loaded(job.encoder)
    alone = encoding(job, 2 * encoder.lanes).peak_mb
    lap = end_to_end(job, path)
    name = f"{job.encoder.model}, {lap.images:,} small images"
    return Memory(name, alone, max(alone, lap.peak_mb))


def _waiting(job: Job, encoder: Encoder) -> list[Pixels]:
    """Return as many batches as there are at most between decoding and vectors."""
    source = Folder(job.images)
    keys = [item.key for item in islice(source, job.batch_size)]
    batch = np.stack([encoder.prepare(source.read(key)) for key in keys])
    return [batch.copy() for _ in range(AHEAD + 2 * encoder.lanes)]


def _prepare(source: Folder, encoder: Encoder, key: str) -> int:
    encoder.prepare(source.read(key))
    return 1


def files_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of a cache but its locks, by name."""
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.name.startswith(".lock"):
            yield os.fspath(file.relative_to(path)), file.read_bytes()
