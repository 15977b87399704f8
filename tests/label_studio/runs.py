"""Runs that people answer, over caches of made-up images, and what a right answer is."""

import atexit
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from clipcache.cache.reader import EmbeddingCache
from clipcache.run import Run
from clipcache.run_folder import RunConfig
from tests.pictures import save
from tests.synthetic import columns, write_cache

HOSTILE = "<img src=x onerror=alert(1)>"
DOLLAR = "$5 note"
CLASSES = 6
IMAGES = 300
CONFIG = RunConfig("margin", "linear", init="random:8", batch=6, seed=3, asks="all")


@cache
def pool() -> EmbeddingCache:
    """Return 300 images of 6 classes, written once a session; nobody changes it."""
    folder = TemporaryDirectory(prefix="clipcache-tests-")
    atexit.register(folder.cleanup)
    return write_cache(Path(folder.name) / "photos.zarr", IMAGES, CLASSES)


def begin(folder: Path, config: RunConfig = CONFIG, names: tuple[str, ...] = ()) -> Run:
    """Begin a run in which people answer."""
    return Run.begin(folder / "run", config, pool(), names)


def truth(row: int) -> str:
    """Return the class that an image was made of."""
    return f"class {TRUTH[row]}"


TRUTH = np.maximum(columns(IMAGES, CLASSES)["label"], 0).tolist()


def photos(folder: Path) -> Path:
    """Draw an image under the key of every row."""
    for row in range(IMAGES):
        save(folder / f"{row:06d}.jpg", row)
    return folder
