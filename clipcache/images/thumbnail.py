"""A smaller copy of an image, made anew: nothing of the file's own bytes is passed on."""

from io import BytesIO

from PIL import Image

from clipcache.images.decode import decode

QUALITY = 85


def jpeg(data: bytes, side: int) -> bytes:
    """Return the image in these bytes as a JPEG without metadata, its longest side at most `side`.

    An image that is smaller keeps its size. Any thread may call it. Raises ImageError where
    `decode` does.
    """
    image = decode(data)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)  # keeps the shape, never enlarges
    out = BytesIO()
    image.save(out, format="jpeg", quality=QUALITY)
    return out.getvalue()
