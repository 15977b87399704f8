"""A run that people label: begun where it is new, continued where it is there."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clipcache.cache.reader import EmbeddingCache
from clipcache.durable import write_file
from clipcache.errors import RunError
from clipcache.images.base import Source
from clipcache.images.roots import Place, place_of
from clipcache.images.source import SourceOptions, find_source
from clipcache.photos import Photos
from clipcache.run import Run
from clipcache.run_config import WHILE_THEY_LIKE, RunConfig
from clipcache.run_folder import read

COMMAND = "clipcache label"
"""Who makes classes that are named when a run is opened."""
HELD_OUT = 50
"""Images that people label to measure on, where the cache has no labelled test images: the standard
error of an accuracy of 80 % is then 6 points."""


def open_run(
    folder: Path,
    cache: Place | None = None,
    names: Sequence[str] = (),
    *,
    device: str = "cpu",
    engine: str = "inline",
    **options: Any,
) -> Run:
    """Return the run in `folder`, which is begun on `cache` where it is new.

    Parameters
    ----------
    folder : the run. One that is there is continued on its own cache.
    cache : the cache of a new run.
    names : classes beside those of the cache, and of the run where it is there.
    device : "cpu" or "cuda", where the pool is scored.
    engine : "inline" or "ray", who scores it.
    options : fields of `RunConfig` that are not to be as they are by default.

    Raises RunError where a new run has no cache, where the run was begun with other options, and
    where its labels are replayed; EngineError where workers cannot score.
    """
    if (folder / "run.json").exists():
        run = _continue(folder, cache, options, device, engine)
        for name in names:
            run.add_class(name, annotator=COMMAND)
        return run
    if cache is None:
        raise RunError(f"there is no run in {folder}; begin one with --cache, as photos.zarr")
    opened = EmbeddingCache.open(cache)
    config = replace(RunConfig(rounds=WHILE_THEY_LIKE, asks="unlabeled"), **options)
    if "held_out" not in options and not _measurable(opened):
        config = replace(config, held_out=min(HELD_OUT, opened.n // 10))
    return Run.begin(folder, config, opened, names, device=device, engine=engine)


def _continue(
    folder: Path, cache: Place | None, options: Mapping[str, Any], device: str, engine: str
) -> Run:
    stored = read(folder)
    config = RunConfig(**stored["config"])
    if not config.people:
        raise RunError(
            f"{folder} replays the labels of its cache; name another folder for people to label in"
        )
    opened = EmbeddingCache.open(cache or place_of(stored["cache"]))
    config = replace(config, **options)
    return Run.begin(folder, config, opened, device=device, engine=engine)


def _measurable(cache: EmbeddingCache) -> bool:
    return bool((cache.labels()[cache.rows("test")] >= 0).any())


@contextmanager
def only_desk(folder: Path) -> Iterator[None]:
    """Keep the run in `folder` to this process, where two would hand out the same images.

    Raises RunError where another one has it.
    """
    lock = FileLock(folder / "desk.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(
            f"another `clipcache label` has {folder} open; use its address, or end it first"
        ) from error
    try:
        yield
    finally:
        lock.release()


def images_place(run: Path, images: Place | None = None) -> Place:
    """Return where the images of the run in folder `run` are: the source that they came from.

    That is `images`, or the one that was given last. Raises RunError where none ever was, and where
    nothing is there.
    """
    kept = _kept(run)
    if images is None and not kept.exists():
        raise RunError(
            "give --images, the folder in which the images of the cache lie, or another source"
        )
    place = place_of(kept.read_text(encoding="utf-8") if images is None else images)
    if isinstance(place, Path) and not place.exists():
        raise RunError(f"nothing is at {place}; give --images, where the images lie now")
    return place.resolve() if isinstance(place, Path) else place


def source_of(run: Run, images: Place | None = None) -> Source:
    """Return where the images of a run come from, and remember it; RunError as `images_place`.

    Raises SourceError where what is there holds no images.
    """
    place = images_place(run.folder, images)
    source = find_source(place, SourceOptions())
    if images is not None:
        write_file(_kept(run.folder), str(place).encode())
    return source


def photos_of(run: Run, images: Place | None = None) -> Photos:
    """Return the images of a run by row; remembers and raises as `source_of`."""
    return Photos(source_of(run, images), run.cache.keys().tolist())


def _kept(run: Path) -> Path:
    return run / "images-folder"
