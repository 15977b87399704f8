"""A small drawn pool, a cache of it whose vectors are made up, and runs in which people answer."""

from pathlib import Path

import numpy as np

from clipcache.cache.layout import PARTS
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.run import Run
from clipcache.run_config import RunConfig
from clipcache.text import LabelText
from tests import synthetic
from tests.pictures import draw

NAMES = ("coat", "hat", "shoe", "<img src=x onerror=alert(1)>", 'sock\'s "pair"', "tie & pin")
"""Classes, some of which would do harm where they are not escaped."""
ROWS = 250
"""A fifth is held out. The others must last for everybody in a module, who keep what they hold."""


def key(row: int) -> str:
    """The name of an image; every tenth would end an attribute where it is not escaped."""
    return f"{row:03d} \"><b onclick=alert(2)>'.png" if row % 10 == 3 else f"{row:03d}.png"


def draw_images(root: Path) -> Path:
    root.mkdir(parents=True)
    for row in range(ROWS):
        draw(row, (120, 90)).save(root / key(row))
    return root


def write_cache(path: Path) -> EmbeddingCache:
    """A finished cache of ROWS rows that no label is known of; a fifth is held out."""
    values = synthetic.columns(ROWS, len(NAMES))
    values["key"] = np.array([key(row) for row in range(ROWS)])
    values["label"][:] = -1
    values["state"][:] = 1
    values["reason"] = np.array([""] * ROWS)
    text = synthetic.text(len(NAMES))
    with CacheWriter.open(path, synthetic.identity(), chunk_rows=synthetic.CHUNK_ROWS) as writer:
        writer.grow(ROWS)
        for part, names in PARTS.items():
            writer.commit(part, 0, {name: values[name] for name in names})
        writer.write_text(LabelText(NAMES, text.templates, text.vectors, text.logit_scale))
    return EmbeddingCache.open(path)


def begin(pool: Path, folder: Path, **options: int) -> Run:
    """Begin a run on the `cache` in `pool`, in which people answer about every image."""
    config = RunConfig(asks="all", batch=10, rounds=20, init="random:10", **options)
    return Run.begin(folder, config, EmbeddingCache.open(pool / "cache"))
