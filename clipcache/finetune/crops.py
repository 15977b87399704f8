"""Labelled images as a network is trained on them: a random part, perhaps mirrored.

Szegedy et al. 2015, "Going Deeper with Convolutions", section 6 (random areas and aspect ratios).
"""

import math
from threading import Lock

import numpy as np
import numpy.typing as npt
from PIL import Image

from clipcache.images.decode import decode
from clipcache.photos import Photos

ROOM = 2 << 30
"""Bytes of decoded images that are kept: some 5,000 for an encoder of 224 pixels."""
KEPT_SIDE = 1.5
"""The shortest side of an image that is kept, in sides of what the encoder sees."""
SMALLEST = 0.5
"""The smallest share of an image that is shown. CLIP itself was trained on 0.9 and more; few labels
want more variety, and with less of an image than half the garment is often gone."""
RATIO = math.log(4 / 3)

Crop = npt.NDArray[np.uint8]
"""(3, s, s) or (b, 3, s, s); the tower normalises."""


class Album:
    """Decoded images by row, made small and kept while there is room; any thread may ask."""

    def __init__(self, photos: Photos, side: int, *, room: int = ROOM) -> None:
        self._photos = photos
        self._side = math.ceil(KEPT_SIDE * side)
        self._room = room
        self._kept: dict[int, Image.Image] = {}
        self._lock = Lock()

    def image(self, row: int) -> Image.Image:
        """Return an image as RGB; raise ImageError where its file cannot be used."""
        found = self._kept.get(row)
        if found is not None:
            return found
        image = _shrunk(self.decoded(row), self._side)
        with self._lock:
            self._room -= 3 * image.width * image.height
            if self._room >= 0:
                self._kept[row] = image
        return image

    def decoded(self, row: int) -> Image.Image:
        """Return an image as RGB in full size; raise ImageError as `image`."""
        return decode(self._photos.read(row))


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    scale = side / min(image.size)
    if scale >= 1:
        return image
    size = (round(scale * image.width), round(scale * image.height))
    return image.resize(size, Image.Resampling.BICUBIC)


class RandomCrops:
    """Random parts of images, of the size that an encoder sees."""

    def __init__(self, side: int, interpolation: str) -> None:
        """Make parts of `side` pixels, scaled with a filter of Pillow, such as "bicubic"."""
        self._size = side
        self._filter = Image.Resampling[interpolation.upper()]

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Crop:
        """Return (3, s, s) of one random part of an RGB image."""
        part = image.resize((self._size,) * 2, self._filter, box=_part(*image.size, rng))
        if rng.random() < 0.5:
            part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(part).transpose(2, 0, 1)


def _part(width: int, height: int, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of at most the image."""
    area = rng.uniform(SMALLEST, 1) * width * height
    ratio = math.exp(rng.uniform(-RATIO, RATIO))
    wide, high = min(math.sqrt(area * ratio), width), min(math.sqrt(area / ratio), height)
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    return left, top, left + wide, top + high
