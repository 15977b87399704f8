"""A folder of as many images as are to be embedded: a few, again and again under other names."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from clipcache.errors import ImageError, SourceError
from clipcache.images.decode import decode
from clipcache.images.folder import Folder
from clipcache.threads import available_threads
from clipcache.tiny.garments import GARMENTS
from clipcache.tiny.render import render

DRAWINGS = 48
SIZE = (400, 533)
"""Width and height of published photos of clothes, whose JPEGs are about as large as these."""
SMALL = (96, 128)
QUALITY = 90


def draw(folder: Path, size: tuple[int, int] = SIZE) -> list[Path]:
    """Write `DRAWINGS` JPEGs of garments, the same every time, into a new folder."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    width, height = size
    files = [folder / f"{number}.jpg" for number in range(DRAWINGS)]
    for number, file in enumerate(files):
        side = max(size)
        left, top = (side - width) // 2, (side - height) // 2
        drawn = render(number % len(GARMENTS), rng=rng, size=side)
        drawn.crop((left, top, left + width, top + height)).save(file, quality=QUALITY)
    return files


def find(folder: Path, most: int) -> list[Path]:
    """Return at most so many images of a folder, those that can be used; SourceError where none."""
    source = Folder(folder)
    keys = [item.key for item in islice(source, most)]
    with ThreadPoolExecutor(available_threads()) as pool:
        usable = pool.map(partial(_is_usable, source), keys)
        files = [(folder / key).absolute() for key, use in zip(keys, usable, strict=True) if use]
    if not files:
        raise SourceError(f"none of the first {len(keys)} images of {folder} can be used")
    return files


def lay_out(folder: Path, files: Sequence[Path], count: int) -> Path:
    """Make a folder of `count` names that lead to the files in turn; return it.

    Links cost no disk, so there may be any number of them.
    """
    folder.mkdir()
    for number in range(count):
        file = files[number % len(files)]
        os.symlink(file, folder / f"{number:07d}{file.suffix}")
    return folder


def _is_usable(source: Folder, key: str) -> bool:
    try:
        decode(source.read(key))
    except ImageError:
        return False
    return True
