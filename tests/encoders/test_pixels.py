"""Fast decoding against the slow way: Pillow and open_clip's own transform."""

import io
import sys

import numpy as np
import pytest
import simplejpeg
from open_clip.transform import image_transform
from PIL import Image

from clipcache.encoders._pixels import Exact, Fast
from clipcache.encoders._view import View
from clipcache.errors import EncoderError, ImageError
from clipcache.images.decode import decode
from tests.pictures import draw, png_header

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.3)
MODES = ("shortest", "longest", "squash")
SIZES = [(90, 64), (64, 90), (61, 61), (40, 32), (300, 41), (47, 301)]
"""Wide, high, square, smaller than what is wanted, and long: (width, height)."""


def view(**options: object) -> View:
    usual = {"side": 48, "scaled": 48, "mode": "shortest", "interpolation": "bicubic"}
    return View(mean=MEAN, std=STD, **(usual | options))  # type: ignore[arg-type]


def slow(image: Image.Image, like: View) -> np.ndarray:
    """Open_clip's transform, and back to 8 bits."""
    transform = image_transform(
        like.side,
        is_train=False,
        mean=like.mean,
        std=like.std,
        resize_mode=like.mode,
        interpolation=like.interpolation,
        fill_color=like.fill[0],
    )
    pixels = Exact(transform, "").preprocess(image)
    return np.rint(255 * (pixels * np.reshape(STD, (3, 1, 1)) + np.reshape(MEAN, (3, 1, 1))))


def jpeg(image: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "jpeg", quality=95, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_it_scales_and_cuts_as_the_slow_way(
    mode: str, interpolation: str, size: tuple[int, int]
) -> None:
    like = view(mode=mode, interpolation=interpolation, fill=(7, 7, 7))
    image = draw(3, size)
    found = Fast(like).preprocess(image)
    assert found.shape == (3, 48, 48)
    assert found.dtype == np.uint8
    assert np.abs(found - slow(image, like)).max() <= 2


def test_timm_scales_to_more_than_it_keeps() -> None:
    image = draw(3, (120, 90))
    large = slow(image, view(side=60))
    found = Fast(view(side=48, scaled=60)).preprocess(image)
    assert np.abs(found - large[:, 6:54, 6:54]).max() <= 2


@pytest.mark.parametrize("size", [(95, 70), (70, 95)], ids=str)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_upright(orientation: int, size: tuple[int, int]) -> None:
    data = jpeg(draw(5, size), exif=exif(orientation))
    like = view(interpolation="bilinear")
    found = Fast(like).prepare(data)
    assert np.abs(found - slow(decode(data), like)).max() <= 2


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(640, 431), (431, 640), (2003, 500)], ids=str)
def test_a_large_jpeg_is_decoded_smaller_and_looks_the_same(
    size: tuple[int, int], orientation: int
) -> None:
    data = jpeg(draw(5, (9, 7)).resize(size, Image.Resampling.BICUBIC), exif=exif(orientation))
    difference = np.abs(Fast(view()).prepare(data) - slow(decode(data), view()))
    assert difference.mean() < 1
    assert 0 < difference.max() <= 12


def test_what_is_no_jpeg_goes_the_usual_way() -> None:
    file = io.BytesIO()
    image = draw(2, (70, 60)).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(file, "png")
    upright = decode(file.getvalue())
    np.testing.assert_array_equal(
        Fast(view()).prepare(file.getvalue()), Fast(view()).preprocess(upright)
    )


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_colours_of_jpeg(mode: str) -> None:
    data = jpeg(draw(2, (70, 60)).convert(mode))
    assert np.abs(Fast(view()).prepare(data) - slow(decode(data), view())).max() <= 2


def large_header(data: bytes) -> bytes:
    """The same JPEG, whose header promises 60,000 x 60,000 pixels."""
    frame = data.index(b"\xff\xc0")
    side = (60_000).to_bytes(2, "big")
    return data[: frame + 5] + side + side + data[frame + 9 :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        b"\xff\xd8\xff",
        jpeg(draw(1, (90, 70)))[:900],
        png_header(30_000, 30_000),
        large_header(jpeg(draw(1))),
        jpeg(Image.new("RGB", (1, 900))),
    ],
    ids=["empty", "text", "begun", "cut off", "huge png", "huge jpeg", "strip"],
)
def test_what_cannot_be_used_has_the_reason_of_decode(data: bytes) -> None:
    with pytest.raises(ImageError) as expected:
        decode(data)
    with pytest.raises(ImageError) as caught:
        Fast(view()).prepare(data)
    assert str(caught.value) == str(expected.value)


def test_the_size_is_looked_at_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    with pytest.raises(ImageError, match="60000 x 60000"):
        Fast(view()).prepare(large_header(jpeg(draw(1))))
    with pytest.raises(TypeError):
        Fast(view()).prepare(jpeg(draw(1)))


def test_damaged_notes_do_no_harm() -> None:
    data = jpeg(draw(1, (90, 70)), exif=b"Exif\0\0broken")
    assert np.abs(Fast(view()).prepare(data) - slow(decode(data), view())).max() <= 2


def test_what_it_does_is_in_words_and_the_slow_way_has_others() -> None:
    assert Fast(view()).words != Fast(view(mode="squash")).words
    assert "simplejpeg" in Fast(view()).words


def test_other_interpolations_are_refused() -> None:
    with pytest.raises(EncoderError, match="lanczos, but only bicubic or bilinear"):
        Fast(view(interpolation="lanczos"))


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(EncoderError, match=r"pip install \"clipcache\[fast\]\""):
        Fast(view())
