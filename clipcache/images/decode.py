"""How the bytes of an image file become pixels, whatever the bytes are.

Files come from anywhere, so only well-kept formats are opened, the size is checked before any pixel
is decoded, and whatever goes wrong becomes one ImageError, whose text is the same in every run
because it is stored in the cache.
"""

import re
from collections.abc import Callable
from io import BytesIO

from PIL import ExifTags, Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from clipcache.errors import ImageError
from clipcache.images.grey import is_deep, to_eight_bits
from clipcache.images.quiet import quiet

DECODING = "pillow; first frame; exif upright; deep grey scaled to 8 bits; alpha on white; rgb"
"""What `decode` does, a part of the encoder's identity: change it whenever the pixels change."""

MAX_PIXELS = 100_000_000
"""The largest width times height that is decoded: 300 MB as RGB."""

MAX_RATIO = 200
"""The longest side over the shortest: an encoder first scales the shortest side to its own size, so
that a line of 1 x 60,000 pixels would be blown up to gigabytes."""

MAX_REASON = 200
"""The greatest length of an ImageError's text, in characters."""

Opener = Callable[[BytesIO], ImageFile.ImageFile]

FORMATS: dict[str, tuple[re.Pattern[bytes], Opener]] = {
    "JPEG": (re.compile(rb"\xff\xd8\xff"), jpeg_factory),  # and MPO, which is JPEG after JPEG
    "PNG": (re.compile(rb"\x89PNG\r\n\x1a\n"), PngImageFile),
    "WEBP": (re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImageFile),
    "GIF": (re.compile(rb"GIF8[79]a"), GifImageFile),
    "BMP": (re.compile(rb"BM"), BmpImageFile),
    "TIFF": (re.compile(rb"II[*+]\0|MM\0[*+]"), TiffImageFile),
}
"""How the files of each format begin, and Pillow's reader of it."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, for each EXIF orientation but 1, which is upright already."""


def decode(data: bytes) -> Image.Image:
    """Return the image in these bytes as RGB: its first frame, upright, on white.

    Any thread may call it. Raises ImageError with a reason of one line where the bytes are not a
    whole image of a known format, or one of more than MAX_PIXELS.
    """
    name = _format_of(data)
    _, opener = FORMATS[name]
    try:
        with quiet:
            # Not Image.open: its own limit on the size would come before ours, without the size.
            image = opener(BytesIO(data))
            _check_size(*image.size)
            image.load()
            return _flat_rgb(_upright(image))
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:  # in readers that size a frame before we can
        raise ImageError(
            f"more pixels than the limit of {MAX_PIXELS:,}: scale the image down"
        ) from error
    except Exception as error:  # Pillow raises nearly everything on hostile bytes
        raise ImageError(_reason(f"damaged {name} file", error)) from error


def _format_of(data: bytes) -> str:
    """Return the name of the format whose signature the bytes begin with."""
    if not data:
        raise ImageError("the file is empty: expected an image")
    for name, (signature, _) in FORMATS.items():
        if signature.match(data):
            return name
    raise ImageError(
        f"not an image of a known format ({', '.join(FORMATS)}): it begins with {data[:12]!r}"
    )


def _check_size(width: int, height: int) -> None:
    """Raise ImageError where the header promises more, or a longer strip, than may be decoded."""
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{width} x {height} is {width * height:,} pixels, more than the limit of "
            f"{MAX_PIXELS:,}: scale the image down"
        )
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ImageError(
            f"{width} x {height} is a strip, more than {MAX_RATIO} times as long as wide: crop it"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Return the image turned as its EXIF data say; as it is where they are damaged.

    Unlike ImageOps.exif_transpose it does not write the EXIF data anew, which fails on odd ones.
    """
    try:
        turn = TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:
        raise
    except Exception:  # a damaged note on a good picture
        return image
    return image if turn is None else image.transpose(turn)


def _flat_rgb(image: Image.Image) -> Image.Image:
    """Return the image as RGB in 8 bits, on white where it is transparent, free of metadata."""
    if is_deep(image):
        flat = to_eight_bits(image)
    elif image.has_transparency_data:
        straight = image.convert("LA") if image.mode == "La" else image
        flat = Image.new("RGBA", image.size, "white")
        flat.alpha_composite(straight.convert("RGBA"))
    else:
        flat = image
    rgb = flat.convert("RGB")
    rgb.info = {}  # an orientation left here would have the image turned twice
    return rgb


def _reason(what: str, error: Exception) -> str:
    """Return one line of text that is the same in every run: printable and without addresses."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(str(error).split()))
    if " " not in text:  # a lone key or number says nothing without the name of its error
        text = f"{type(error).__name__} {text}".strip()
    line = "".join(c if c.isprintable() else "?" for c in f"{what}: {text}")
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 3] + "..."
