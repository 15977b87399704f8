import inspect
import io
import random
import struct
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from clipcache.errors import ImageError
from clipcache.images import decode as decode_module
from clipcache.images.decode import DECODING, MAX_PIXELS, MAX_REASON, decode

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255,) * 3, (0,) * 3


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, depth: int, colour: int, pixels: bytes, *extra: tuple[bytes, bytes]
) -> bytes:
    """A PNG made by hand: `pixels` are its rows, each after a filter byte."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def pixels(data: bytes) -> list[tuple[int, ...]]:
    image = decode(data)
    assert image.mode == "RGB"
    return [tuple(p) for p in np.asarray(image).reshape(-1, 3).tolist()]


def near(found: tuple[int, ...], expected: tuple[int, ...], within: int = 6) -> bool:
    return all(abs(a - b) <= within for a, b in zip(found, expected, strict=True))


def photo(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "maker"
    return exif


VALID = {
    "jpeg": encoded(photo(), "JPEG"),
    "jpeg progressive": encoded(photo(), "JPEG", progressive=True),
    "jpeg cmyk": encoded(photo("CMYK"), "JPEG"),
    "jpeg exif": encoded(photo(), "JPEG", exif=turned(6)),
    "mpo": encoded(photo(), "MPO", save_all=True, append_images=[photo("L").convert("RGB")]),
    "png": encoded(photo(), "PNG"),
    "png palette": encoded(photo("P"), "PNG", transparency=3),
    "png 16 bit": encoded(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40)), "PNG"),
    "webp": encoded(photo(), "WEBP"),
    "webp lossless": encoded(photo("RGBA"), "WEBP", lossless=True),
    "webp animated": encoded(photo(), "WEBP", save_all=True, append_images=[photo("L")]),
    "gif": encoded(photo("P"), "GIF"),
    "gif animated": encoded(photo("P"), "GIF", save_all=True, append_images=[photo("L")]),
    "bmp": encoded(photo(), "BMP"),
    "tiff": encoded(photo(), "TIFF"),
    "tiff deflate": encoded(photo(), "TIFF", compression="tiff_adobe_deflate"),
    "tiff lzw": encoded(photo("L"), "TIFF", compression="tiff_lzw"),
    "tiff jpeg": encoded(photo(), "TIFF", compression="jpeg"),
}


@pytest.mark.parametrize("name", VALID)
def test_every_format_is_decoded(name: str) -> None:
    image = decode(VALID[name])
    assert type(image) is Image.Image
    assert image.mode == "RGB"
    assert image.size == ((30, 40) if name == "jpeg exif" else (40, 30))
    assert image.info == {}


def test_lossless_formats_keep_every_pixel() -> None:
    for kind in ("PNG", "BMP", "TIFF"):
        assert np.array_equal(np.asarray(decode(encoded(photo(), kind))), np.asarray(photo()))


def test_first_frame_of_animations() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("MPO", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert near(pixels(data)[0], RED)


# Colours


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("cmyk", "rgb"),
    [
        ((0, 0, 0, 0), WHITE),
        ((0, 0, 0, 255), BLACK),
        ((0, 255, 255, 0), RED),
        ((255, 0, 255, 0), GREEN),
    ],
)
def test_cmyk(kind: str, cmyk: tuple[int, ...], rgb: tuple[int, ...]) -> None:
    data = encoded(Image.new("CMYK", (16, 16), cmyk), kind)
    if kind == "JPEG":  # Pillow writes what Adobe writes: inverted, and marked so
        assert b"Adobe" in data
    assert near(pixels(data)[0], rgb)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 257, 32768, 65535]], np.uint16)
    expected = [(0,) * 3, (1,) * 3, (128,) * 3, (255,) * 3]
    little = Image.fromarray(values)
    big = Image.frombytes("I;16B", (4, 1), values.astype(">u2").tobytes())
    wide = Image.fromarray(values.astype(np.int32))
    assert (little.mode, big.mode, wide.mode) == ("I;16", "I;16B", "I")
    for data in (
        encoded(little, "PNG"),
        encoded(little, "TIFF"),
        encoded(big, "TIFF"),
        encoded(wide, "TIFF"),
    ):
        assert pixels(data) == expected


def test_16_bit_grey_does_not_depend_on_the_rest_of_the_image() -> None:
    dark = encoded(Image.fromarray(np.full((2, 2), 2570, np.uint16)), "PNG")
    assert pixels(dark) == [(10,) * 3] * 4


def test_16_bit_grey_with_a_transparent_value() -> None:
    row = b"\0" + struct.pack(">HH", 0x1234, 0x8080)
    data = png(2, 1, 16, 0, row, (b"tRNS", struct.pack(">H", 0x1234)))
    assert pixels(data) == [WHITE, (128,) * 3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1000, 65535], [0, 4, 255]),
        ([-100, 0, 100], [0, 128, 255]),
        ([0, 1 << 20, 1 << 21], [0, 128, 255]),
        ([-7, -7, -7], [0, 0, 0]),
        ([-(2**31), 0, 2**31 - 1], [0, 128, 255]),
    ],
)
def test_32_bit_grey(values: list[int], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], np.int32)), "TIFF")
    assert [p[0] for p in pixels(data)] == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 0.2, 0.4], [0, 51, 102]),
        ([0.0, 51.0, 255.0], [0, 51, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, 500.0, 1000.0], [0, 128, 255]),
        ([np.nan, np.inf, 1.0], [0, 0, 255]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
    ],
)
def test_float_grey(values: list[float], expected: list[int]) -> None:
    data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert [p[0] for p in pixels(data)] == expected


def test_one_bit() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "TIFF", "BMP"):
        assert pixels(encoded(image, kind)) == [BLACK, WHITE]


def test_grey() -> None:
    assert pixels(encoded(Image.new("L", (1, 1), 77), "PNG")) == [(77,) * 3]


@pytest.mark.parametrize(
    ("alpha", "expected"), [(255, (100, 0, 0)), (0, WHITE), (51, (224, 204, 204))]
)
def test_alpha_is_laid_on_white(alpha: int, expected: tuple[int, ...]) -> None:
    data = encoded(Image.new("RGBA", (1, 1), (100, 0, 0, alpha)), "PNG")
    assert near(pixels(data)[0], expected, within=1)
    grey = encoded(Image.new("LA", (1, 1), (100, alpha)), "PNG")
    assert near(pixels(grey)[0], (expected[0],) * 3, within=1)


def test_transparent_colour_without_an_alpha_channel() -> None:
    two = Image.new("RGB", (2, 1), RED)
    two.putpixel((1, 0), GREEN)
    assert pixels(encoded(two, "PNG", transparency=RED)) == [WHITE, GREEN]
    assert pixels(encoded(Image.new("L", (1, 1), 9), "PNG", transparency=9)) == [WHITE]


def palette_image() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    for x in range(3):
        image.putpixel((x, 0), x)
    return image


def test_palette() -> None:
    assert pixels(encoded(palette_image(), "PNG")) == [RED, GREEN, BLUE]
    assert pixels(encoded(palette_image(), "GIF")) == [RED, GREEN, BLUE]


def test_palette_with_transparency() -> None:
    assert pixels(encoded(palette_image(), "PNG", transparency=1)) == [RED, WHITE, BLUE]
    assert pixels(encoded(palette_image(), "GIF", transparency=1)) == [RED, WHITE, BLUE]
    partial = pixels(encoded(palette_image(), "PNG", transparency=bytes([255, 0, 51])))
    assert partial[:2] == [RED, WHITE]
    assert near(partial[2], (204, 204, 255), within=1)


def test_premultiplied_alpha() -> None:
    data = encoded(Image.new("RGBA", (2, 2), (200, 0, 0, 128)), "TIFF")
    tag = struct.pack("<HHIHH", 338, 3, 1, 2, 0)  # extra samples: straight alpha
    assert tag in data
    premultiplied = data.replace(tag, struct.pack("<HHIHH", 338, 3, 1, 1, 0))
    assert near(pixels(premultiplied)[0], (255, 127, 127), within=1)


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation(kind: str, orientation: int) -> None:
    """The upright image has its red corner top left and its blue one top right."""
    upright = Image.new("RGB", (48, 32), WHITE)
    upright.paste(RED, (0, 0, 16, 16))
    upright.paste(BLUE, (32, 0, 48, 16))
    stored_by = {  # what undoes the turn that the orientation asks for
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if stored_by is None else upright.transpose(stored_by)
    image = decode(encoded(stored, kind, exif=turned(orientation)))
    assert image.size == (48, 32)
    assert near(tuple(image.getpixel((4, 4))), RED, within=30)  # type: ignore[arg-type]
    assert near(tuple(image.getpixel((44, 4))), BLUE, within=30)  # type: ignore[arg-type]
    assert image.getexif().get(0x0112) is None


@pytest.mark.parametrize(
    "note", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
def test_damaged_exif_does_not_cost_the_picture(note: bytes) -> None:
    data = VALID["jpeg"]
    segment = b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note
    assert decode(data[:2] + segment + data[2:]).tobytes() == decode(data).tobytes()


# What is refused


def refusal(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode(data)
    reason = str(caught.value)
    assert 0 < len(reason) <= MAX_REASON
    assert reason.isprintable()
    assert "0x" not in reason.split("begins with")[0]
    return reason


def test_a_huge_png_is_refused_by_its_header() -> None:
    data = png(30_000, 30_000, 8, 2, bytes(1000))
    tracemalloc.start()
    reason = refusal(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "30000 x 30000" in reason
    assert "900,000,000" in reason
    assert "100,000,000" in reason
    assert peak < 5_000_000, "nothing was decoded"


@pytest.mark.parametrize(("size", "good"), [((1, 200), True), ((1, 201), False), ((401, 2), False)])
def test_strips_that_an_encoder_would_blow_up(size: tuple[int, int], good: bool) -> None:
    data = encoded(Image.new("RGB", size), "PNG")
    if good:
        assert decode(data).size == size
    else:
        with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} is a strip"):
            decode(data)


def test_no_pixel_of_a_huge_image_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: ImageFile.ImageFile) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    side = int(MAX_PIXELS**0.5)
    assert str(side + 1) in refusal(png(side, side + 1, 8, 2, bytes(1000)))


def test_just_below_the_limit_pillow_would_warn_and_we_do_not() -> None:
    side = int(MAX_PIXELS**0.5)
    assert "damaged PNG" in refusal(png(side, side, 1, 0, bytes(1000)))


@pytest.mark.parametrize("start", [b"GIF89a", b"BM"])
def test_other_huge_headers(start: bytes) -> None:
    if start == b"GIF89a":
        data = start + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
        data += b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00;"
    else:
        header = struct.pack("<IiiHHIIiiII", 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0)
        data = start + struct.pack("<IHHI", 54, 0, 0, 54) + header
    assert "scale the image down" in refusal(data)


def test_huge_webp_header() -> None:
    canvas = struct.pack("<I", 0) + (16_382).to_bytes(3, "little") * 2
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + VALID["webp"][12:]
    said = refusal(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert "scale the image down" in said or "damaged WEBP" in said  # by Pillow's version


def test_huge_gif_frame_on_a_small_screen() -> None:
    data = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
    data += b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;"
    assert "scale the image down" in refusal(data)


@pytest.mark.parametrize("name", VALID)
def test_truncated_files(name: str) -> None:
    data = VALID[name]
    end = len(data) // 2 if "animated" not in name and name != "mpo" else len(data) // 4
    assert "damaged" in refusal(data[:end])


def test_not_an_image() -> None:
    assert "empty" in refusal(b"")
    assert "begins with b'<!DOCTYPE ht'" in refusal(b"<!DOCTYPE html><html></html>")
    assert "JPEG, PNG" in refusal(b"dear diary")


def test_formats_off_the_list() -> None:
    for kind in ("PPM", "ICO", "TGA", "JPEG2000", "EPS"):
        assert "known format" in refusal(encoded(photo(), kind))
    assert "ftypheic" in refusal(b"\0\0\0\x18ftypheic" + bytes(100))


def test_zero_size() -> None:
    refusal(png(0, 5, 8, 2, b""))
    refusal(b"GIF89a" + struct.pack("<HHBBB", 0, 0, 0, 0, 0) + b";")
    header = struct.pack("<IiiHHIIiiII", 40, 0, 0, 1, 24, 0, 0, 0, 0, 0, 0)
    refusal(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header)


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_not_every_error_is_the_images_fault(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: ImageFile.ImageFile) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(error):
        decode(VALID["bmp"])


def test_reasons_hold_no_addresses_and_no_line_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: ImageFile.ImageFile) -> None:
        raise OSError(f"{io.BytesIO()!r} is\n bad\x00 \udcff" + "x" * 500)

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    assert refusal(VALID["bmp"]).startswith("damaged BMP file: <_io.BytesIO object> is bad? ?xxx")


def test_decoding_is_short_and_on_one_line() -> None:
    assert DECODING.isascii()
    assert DECODING.isprintable()
    assert len(DECODING) < 100


# Hostile bytes


def outcome(data: bytes) -> bytes | str:
    """Pixels, or the reason why there are none; anything but an ImageError fails the test."""
    try:
        image = decode(data)
    except ImageError as error:
        reason = str(error)
        assert 0 < len(reason) <= MAX_REASON
        assert reason.isprintable()
        assert " at 0x" not in reason
        return reason
    assert image.mode == "RGB"
    return image.tobytes()


def flipped(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        # Headers are where damage is interesting, so half of it goes there.
        at = rng.randrange(len(damaged) if rng.random() < 0.5 else min(len(damaged), 200))
        damaged[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(damaged)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def spliced(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:a] + data[b:] if rng.random() < 0.5 else data[:b] + data[a:]


@pytest.mark.parametrize("damage", [flipped, cut, spliced])
@pytest.mark.parametrize("name", VALID)
def test_damaged_files(name: str, damage: Callable[[bytes, random.Random], bytes]) -> None:
    rng = random.Random(f"{name} {damage.__name__}")
    for _ in range(60):
        data = damage(VALID[name], rng)
        assert outcome(data) == outcome(data)


@settings(max_examples=150, deadline=None)
@given(
    start=st.sampled_from(sorted({data[:n] for data in VALID.values() for n in (4, 16, 40)})),
    rest=st.binary(max_size=200),
)
def test_any_bytes_after_a_valid_start(start: bytes, rest: bytes) -> None:
    outcome(start + rest)


# Warnings, threads and globals


def test_filters_are_as_before() -> None:
    before, allowed = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    for data in VALID.values():
        outcome(data)
        outcome(data[:100])
    assert list(warnings.filters) == before
    assert allowed == Image.MAX_IMAGE_PIXELS
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert "LOAD_TRUNCATED_IMAGES" not in inspect.getsource(decode_module)


def test_threads_decode_together_and_leave_the_filters() -> None:
    before = list(warnings.filters)
    odd = [*VALID.values(), png(9999, 9999, 8, 2, bytes(10)), VALID["tiff"][:-60]]
    expected = [outcome(data) for data in odd]
    wrong: list[object] = []

    def work() -> None:
        try:
            wrong.extend(o for o, e in zip(map(outcome, odd), expected, strict=True) if o != e)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert list(warnings.filters) == before
