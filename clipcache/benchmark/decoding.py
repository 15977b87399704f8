"""How much faster --fast-decode prepares images on one processor, and what that does to vectors.

Each image goes both ways, one after the other, so that what else the machine does hits both alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from time import thread_time

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Pixels
from clipcache.benchmark.embed_parts import Job, loaded
from clipcache.encoders.base import Encoder
from clipcache.encoders.lanes import encoding_threads
from clipcache.images.folder import Folder


@dataclass(frozen=True)
class Decoding:
    """One processor that prepares images as the model's library does it, and faster."""

    images: int
    usual_rate: float
    """Images a second of the processor's time, like the next."""
    fast_rate: float
    cosine_mean: float
    """Between the vectors of one image by both ways, like the next two."""
    cosine_1_percent: float
    cosine_least: float


def compare_decoding(job: Job, count: int) -> Decoding:
    """Prepare the first `count` images both ways, and encode what comes out.

    Raises EncoderError where the faster way cannot be had.
    """
    encoders = [loaded(replace(job.encoder, fast_decode=fast)) for fast in (False, True)]
    source = Folder(job.images)
    seconds = [0.0, 0.0]
    pixels: list[list[Pixels]] = [[], []]
    with encoding_threads(1):  # or one processor's time would not be all that was spent
        for item in islice(source, count):
            data = source.read(item.key)
            for place, encoder in enumerate(encoders):
                began = thread_time()
                pixels[place].append(encoder.prepare(data))
                seconds[place] += thread_time() - began
    usual, fast = (
        _encode(encoder, made, job.batch_size)
        for encoder, made in zip(encoders, pixels, strict=True)
    )
    cosines = (usual * fast).sum(axis=1)
    return Decoding(
        images=len(cosines),
        usual_rate=len(cosines) / seconds[0],
        fast_rate=len(cosines) / seconds[1],
        cosine_mean=float(cosines.mean()),
        cosine_1_percent=float(np.percentile(cosines, 1)),
        cosine_least=float(cosines.min()),
    )


def _encode(encoder: Encoder, pixels: Sequence[Pixels], size: int) -> npt.NDArray[np.float32]:
    """Return (n, d) unit rows."""
    starts = range(0, len(pixels), size)
    with encoding_threads(encoder.lanes) as lanes:
        parts = lanes.map(encoder.encode_images, (np.stack(pixels[i : i + size]) for i in starts))
        return np.concatenate(list(parts))
