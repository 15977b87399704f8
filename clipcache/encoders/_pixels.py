"""From the bytes of an image to what a tower takes in: as its library does it, or faster."""

import math
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import jpeg_factory
from torch.nn import functional

from clipcache.arrays import Pixels
from clipcache.encoders._view import Size, View
from clipcache.encoders.base import FAST
from clipcache.errors import EncoderError
from clipcache.images.decode import DECODING, MAX_PIXELS, MAX_RATIO, TURNS, decode
from clipcache.images.quiet import quiet

Picture = npt.NDArray[np.uint8]
"""(height, width, 3): RGB."""

OVERSAMPLED = 2
"""How many pixels a JPEG is decoded to at least for each that is needed, along a side. The scaling
inside of the decoder is a coarse one, but what is averaged afterwards hardly shows it."""
SHRINKS = (8, 4, 2, 1)
"""By what a decoder can divide the sides quickly; it knows others, which are slower and coarser."""
SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}
"""The turns after which the height is the width."""
SPOKEN = ("bicubic", "bilinear")
"""Ways to interpolate that PyTorch knows for 8 bits."""


class Exact:
    """The preprocessing of the library that a model comes from, on Pillow images."""

    def __init__(self, transform: Callable[[Image.Image], torch.Tensor], words: str) -> None:
        self._transform = transform
        self.words = f"{DECODING}; {words}"
        """What is done, as a part of the encoder's identity."""

    def prepare(self, data: bytes) -> Pixels:
        """Return the image in these bytes as (3, s, s) float32; ImageError where it is none."""
        return self.preprocess(decode(data))

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return an RGB image as (3, s, s) float32."""
        pixels: Pixels = self._transform(image).numpy()
        return pixels


class Fast:
    """The same view, faster: JPEGs decoded at a fraction of their size, all scaled in 8 bits.

    What comes out is not normalised yet, which is left to the device.
    """

    def __init__(self, view: View) -> None:
        """Raise EncoderError where simplejpeg is not installed, or the view is none of these."""
        _check_installed()
        if view.interpolation not in SPOKEN:
            raise EncoderError(
                f"--fast-decode cannot scale as this model wants it, {view.interpolation}, but "
                f"only {' or '.join(SPOKEN)}; do without it"
            )
        self.view = view
        self.words = (
            f"{FAST}simplejpeg, by 1/8, 1/4 or 1/2 to at least {OVERSAMPLED} times the size, exif "
            f"upright; others {DECODING}; scaled in 8 bits, antialiased; {view}"
        )

    def prepare(self, data: bytes) -> Pixels:
        """Return the image in these bytes as (3, s, s) uint8; ImageError where it is none."""
        found = _jpeg(data, self.view) if data[:3] == b"\xff\xd8\xff" else None
        if found is None:
            return self.preprocess(decode(data))
        picture, size = found
        return self._fit(picture, size)

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return an RGB image as (3, s, s) uint8."""
        picture = np.array(image)
        return self._fit(picture, picture.shape[:2])

    def _fit(self, picture: Picture, size: Size) -> Pixels:
        """Scale a picture as if it still had its full size, and cut or pad it."""
        view = self.view
        image = torch.from_numpy(picture).permute(2, 0, 1)[None]  # (1, 3, h, w), channels last
        scaled = functional.interpolate(
            image, view.scale(size), mode=view.interpolation, antialias=True
        )
        return _middle(scaled[0].numpy(), view)


def _middle(pixels: Picture, view: View) -> Pixels:
    """Return the (3, s, s) middle of (3, h, w), on borders where there is less."""
    _, height, width = pixels.shape
    side = view.side
    # Rounded as torchvision's CenterCrop does, which is half to even, and open_clip's padding.
    top, left = (round((length - side) / 2) if length > side else 0 for length in (height, width))
    cut = pixels[:, top : top + side, left : left + side]
    if cut.shape[1:] == (side, side):
        return np.ascontiguousarray(cut)
    full = np.empty((3, side, side), dtype=np.uint8)
    full[:] = np.array(view.fill, dtype=np.uint8).reshape(3, 1, 1)
    top, left = (side - cut.shape[1]) // 2, (side - cut.shape[2]) // 2
    full[:, top : top + cut.shape[1], left : left + cut.shape[2]] = cut
    return full


def _jpeg(data: bytes, view: View) -> tuple[Picture, Size] | None:
    """Return a JPEG, perhaps made smaller, and its full size; None where `decode` must look at it.

    That is so for whatever is large, odd or damaged: `decode` knows what to say, or to do.
    """
    import simplejpeg

    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
        if width * height > MAX_PIXELS or max(width, height) > MAX_RATIO * min(width, height):
            return None
        by = _shrink((height, width), view)
        least = math.ceil(height / by), math.ceil(width / by)
        picture = simplejpeg.decode_jpeg(data, "RGB", min_height=least[0], min_width=least[1])
    except (ValueError, RuntimeError):
        return None
    turn = _turn(data)
    if turn is None:
        return picture, (height, width)
    turned = np.array(Image.fromarray(picture).transpose(turn))
    return turned, (width, height) if turn in SIDEWAYS else (height, width)


def _shrink(size: Size, view: View) -> int:
    """Return by what both sides can be divided so that enough is left to scale down from."""
    room = min(full / needed for full, needed in zip(size, view.scale(size), strict=True))
    return next((by for by in SHRINKS if by * OVERSAMPLED <= room), 1)


def _turn(data: bytes) -> Image.Transpose | None:
    """Return what makes a JPEG upright; None where it is, or where its EXIF data are damaged."""
    if b"Exif\0\0" not in data:
        return None
    with suppress(Exception), quiet:  # a damaged note on a good picture
        return TURNS.get(jpeg_factory(BytesIO(data)).getexif().get(ExifTags.Base.Orientation, 1))
    return None


def _check_installed() -> None:
    try:
        import simplejpeg  # noqa: F401
    except ImportError as error:
        raise EncoderError(
            '--fast-decode needs simplejpeg, which is not installed: pip install "clipcache[fast]"'
        ) from error
