"""Runs in which people have answered: one on made-up vectors, one on drawn images."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from clipcache.arrays import RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.embed import EmbedOptions, embed
from clipcache.images.source import SourceOptions, open_source
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests.pictures import folder
from tests.real_encoder import tiny

CONFIG = RunConfig("margin", "linear", init="random:20", batch=10, seed=3, asks="all")


@contextmanager
def labelled_run(
    path: Path, cache: EmbeddingCache, rounds: int = 3, **options: object
) -> Iterator[Run]:
    """A run whose people have said of each image what it is, for so many rounds."""
    run = Run.begin(path, replace(CONFIG, **options), cache)  # type: ignore[arg-type]
    for _ in range(rounds):
        tell_truth(run, run.propose())
    yield run
    run.store.close()


def tell_truth(run: Run, rows: RowIds, annotator: str = "ann") -> None:
    """Record what the cache knows; an image that it knows nothing of is skipped."""
    run.record(rows, run.cache.labels()[rows], annotator=annotator, source="page")


def drawn_cache(path: Path) -> EmbeddingCache:
    """34 drawn images of two kinds, embedded by the built-in encoder; `path`/photos has them."""
    root = folder(path / "photos", {"coat": 16, "hat": 14, "": 4})
    source = open_source(root, SourceOptions(split="random:0.3"))
    embed(source, tiny(), path / "cache", EmbedOptions(chunk_rows=8))
    return EmbeddingCache.open(path / "cache")
