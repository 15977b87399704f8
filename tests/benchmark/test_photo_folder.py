"""Folders to embed: drawings are the same every time, and links lead to the files in turn."""

from pathlib import Path

import pytest
from PIL import Image

from clipcache.benchmark.photo_folder import DRAWINGS, SMALL, draw, find, lay_out
from clipcache.errors import SourceError
from tests.pictures import folder, hostile, tree


def test_drawings_are_different_jpegs_of_one_size_and_the_same_every_time(tmp_path: Path) -> None:
    files = draw(tmp_path / "a", SMALL)
    draw(tmp_path / "b", SMALL)
    for file in files:
        with Image.open(file) as image:
            assert (image.format, image.size) == ("JPEG", SMALL)
    assert len({file.read_bytes() for file in files}) == DRAWINGS
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.parametrize("count", [1, 3, 4, 10])
def test_names_lead_to_the_files_in_turn(tmp_path: Path, count: int) -> None:
    files = find(folder(tmp_path / "mine", {"coat": 2, "": 2}), 3)
    assert len(files) == 3
    links = sorted(lay_out(tmp_path / "links", files, count).iterdir())
    assert [link.resolve() for link in links] == [files[i % 3].resolve() for i in range(count)]


def test_only_images_that_can_be_used_are_taken(tmp_path: Path) -> None:
    hostile(tmp_path / "photos")
    with pytest.raises(SourceError, match=r"none of the first 6 images of .* can be used"):
        find(tmp_path / "photos", 100)
    folder(tmp_path / "photos", {"coat": 2})
    assert [file.parent.name for file in find(tmp_path / "photos", 100)] == ["coat", "coat"]
