import io
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from clipcache.errors import ImageError
from clipcache.images.thumbnail import jpeg
from tests.pictures import draw, hostile


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("size", "made"),
    [((400, 200), (64, 32)), ((200, 400), (32, 64)), ((64, 64), (64, 64)), ((30, 20), (30, 20))],
)
def test_the_longest_side_is_bounded_and_the_shape_kept(
    size: tuple[int, int], made: tuple[int, int]
) -> None:
    small = opened(jpeg(encoded(draw(1, size), "png"), 64))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", made)


def test_a_long_strip_keeps_a_pixel() -> None:
    assert opened(jpeg(encoded(draw(2, (2000, 11)), "png"), 64)).size == (64, 1)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "gif", "bmp", "tiff"])
def test_it_looks_like_the_image(kind: str) -> None:
    red = Image.new("RGB", (90, 60), (200, 30, 40))
    middle = opened(jpeg(encoded(red, kind), 30)).getpixel((15, 10))
    assert all(abs(a - b) < 12 for a, b in zip(middle, (200, 30, 40), strict=True))


def test_nothing_of_the_file_is_passed_on() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody's name"
    exif[ExifTags.Base.Orientation] = 6
    data = encoded(draw(3, (80, 40)), "jpeg", exif=exif, comment=b"where it was taken")
    small = jpeg(data + b"<script>alert(1)</script>", 40)
    assert opened(small).size == (20, 40), "turned upright"
    assert not opened(small).getexif()
    for secret in (b"somebody", b"where it", b"<script>", b"Exif", b"Photoshop"):
        assert secret not in small


def test_the_same_bytes_make_the_same_jpeg() -> None:
    data = encoded(draw(4, (120, 90)), "png")
    assert jpeg(data, 64) == jpeg(data, 64)


def test_what_is_no_image_says_why(tmp_path: Path) -> None:
    for name, word in hostile(tmp_path).items():
        if name != "lost.jpg":
            with pytest.raises(ImageError, match=word):
                jpeg((tmp_path / name).read_bytes(), 64)
