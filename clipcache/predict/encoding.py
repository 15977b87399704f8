"""Vectors of images that go into no cache: a few batches are in memory, whatever the source."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import NamedTuple

import numpy as np

from clipcache.arrays import Pixels, Vectors
from clipcache.encoders.base import Encoder
from clipcache.errors import ImageError
from clipcache.features import read_ahead
from clipcache.images.base import Source

AHEAD = 2
"""Batches that may be decoded while one is encoded."""


class Encoded(NamedTuple):
    """Some images of a source, in its order."""

    keys: list[str]
    reasons: list[str]
    """Why an image cannot be used; "" where it can."""
    vectors: Vectors
    """(b, d) float32 unit rows of those that can."""


def encode_all(
    source: Source, encoder: Encoder, *, batch_size: int, workers: int
) -> Generator[Encoded, None, None]:
    """Yield all images of a source, `batch_size` at a time, decoded by so many threads."""

    def load(key: str) -> Pixels | str:
        try:
            return encoder.prepare(source.read(key))
        except ImageError as error:
            return str(error)

    keys = (item.key for item in source)
    parts = iter(lambda: list(islice(keys, batch_size)), [])
    with ThreadPoolExecutor(workers) as decoders:
        decoded = ((part, list(decoders.map(load, part))) for part in parts)
        with closing(read_ahead(decoded, AHEAD)) as waiting:
            yield from (_encode(part, images, encoder) for part, images in waiting)


def _encode(keys: list[str], images: list[Pixels | str], encoder: Encoder) -> Encoded:
    """Encode the images of a batch; those that cannot be used are reasons."""
    pixels = [image for image in images if not isinstance(image, str)]
    reasons = [image if isinstance(image, str) else "" for image in images]
    if not pixels:
        return Encoded(keys, reasons, np.empty((0, encoder.identity.dim), dtype=np.float32))
    return Encoded(keys, reasons, encoder.encode_images(np.stack(pixels)))
