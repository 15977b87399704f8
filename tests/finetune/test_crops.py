from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipcache.errors import ImageError
from clipcache.finetune.crops import SMALLEST, Album, RandomCrops, _part
from clipcache.images.folder import Folder
from clipcache.photos import Photos
from tests.pictures import draw, folder


@pytest.mark.parametrize("size", [(60, 60), (200, 31), (17, 90)])
def test_a_part_lies_in_the_image_and_is_not_too_small(size: tuple[int, int]) -> None:
    width, height = size
    for seed in range(300):
        left, top, right, bottom = _part(width, height, np.random.default_rng(seed))
        assert 0 <= left < right <= width + 1e-9
        assert 0 <= top < bottom <= height + 1e-9
        # A part that would be wider than the image is cut off there.
        whole = right - left > width - 1e-6 or bottom - top > height - 1e-6
        assert whole or (right - left) * (bottom - top) >= SMALLEST * width * height - 1e-6


def test_pixels_are_those_of_the_image() -> None:
    red = Image.new("RGB", (50, 40), (255, 0, 7))
    pixels = RandomCrops(8, "bicubic")(red, np.random.default_rng(0))
    assert (pixels.shape, pixels.dtype) == ((3, 8, 8), np.uint8)
    np.testing.assert_array_equal(pixels, np.reshape([255, 0, 7], (3, 1, 1)) + np.zeros((3, 8, 8)))


def test_parts_differ_and_half_of_them_are_mirrored() -> None:
    ramp = Image.linear_gradient("L").rotate(90).convert("RGB")  # darker to one side
    crops = RandomCrops(8, "bicubic")
    found = [crops(ramp, np.random.default_rng(seed)) for seed in range(200)]
    rising = np.mean([pixels[0, 4, 0] < pixels[0, 4, -1] for pixels in found])
    assert 0.4 < rising < 0.6
    assert len({pixels.tobytes() for pixels in found}) > 150
    np.testing.assert_array_equal(found[7], crops(ramp, np.random.default_rng(7)))


def album(root: Path, count: int, **options: int) -> Album:
    folder(root, {"": count})
    return Album(Photos(Folder(root), [f"{i:03d}.png" for i in range(count)]), 16, **options)


def test_an_image_is_read_once_while_there_is_room(tmp_path: Path) -> None:
    kept = album(tmp_path, 2)
    first = kept.image(0)
    (tmp_path / "000.png").unlink()
    assert kept.image(0) is first
    with pytest.raises(ImageError, match="not found"):
        kept.decoded(0)


def test_without_room_nothing_is_kept(tmp_path: Path) -> None:
    small = album(tmp_path, 2, room=0)
    np.testing.assert_array_equal(small.image(1), draw(1).resize((30, 24), 3))
    (tmp_path / "001.png").unlink()
    with pytest.raises(ImageError, match="not found"):
        small.image(1)


def test_a_small_image_stays_as_it_is(tmp_path: Path) -> None:
    draw(5, (20, 18)).save(tmp_path / "a.png")
    found = Album(Photos(Folder(tmp_path), ["a.png"]), 16).image(0)
    np.testing.assert_array_equal(found, draw(5, (20, 18)))
