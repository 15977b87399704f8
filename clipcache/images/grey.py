"""Grey of more than 8 bits, scaled to 8 bits where Pillow's own conversion would clip."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

FULL_SCALES: dict[str, tuple[float, ...]] = {"I": (65535.0,), "F": (1.0, 255.0)}
"""Where white lies by custom, tried in turn: 16 bits held in 32; floats in [0, 1] or [0, 255]."""

SIXTEEN_TO_EIGHT = ((np.arange(65536) + 128) // 257).astype(np.uint8)
"""(65536,) uint8: the nearest 8-bit value for each 16-bit value."""


def is_deep(image: Image.Image) -> bool:
    """Tell whether the image is grey of more than 8 bits: modes I;16 and its kin, I and F."""
    return image.mode in FULL_SCALES or image.mode.startswith("I;16")


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return a deep grey image in mode L; its transparent value, where it has one, becomes white.

    16-bit values are scaled by their type, so that equal values stay equal between images. 32-bit
    values have no agreed white: they are taken to fill the first of FULL_SCALES that holds them
    all, else stretched from their least to their greatest. NaN and infinities count as 0.
    """
    values = np.asarray(image)  # (height, width)
    if image.mode in FULL_SCALES:
        grey = _scaled(values, FULL_SCALES[image.mode])
    else:
        grey = SIXTEEN_TO_EIGHT[values]
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)


def _scaled(values: npt.NDArray[Any], full_scales: tuple[float, ...]) -> npt.NDArray[np.uint8]:
    """Return (height, width) uint8: `values` scaled so that none is clipped."""
    known = np.where(np.isfinite(values), values, 0).astype(np.float64)
    low, high = float(known.min()), float(known.max())
    fitting = [scale for scale in full_scales if high <= scale]
    if low < 0 or not fitting:
        known -= low
        fitting = [high - low]
    known *= 255
    known /= fitting[0] or 1.0
    return np.rint(known).astype(np.uint8)
