import io
import threading
from collections import Counter

import pytest
from PIL import Image

from clipcache.errors import ImageError, SourceError
from clipcache.photos import Photos
from tests.pictures import draw


class Shelf:
    """A source that counts how often each image is read."""

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()

    def read(self, key: str) -> bytes:
        self.reads[key] += 1
        if key == "expired":
            raise SourceError("the credentials have expired")
        if key == "gone":
            raise ImageError("file not found")
        file = io.BytesIO()
        draw(int(key), (120, 90)).save(file, "png")
        return file.getvalue()


KEYS = ["0", "1", "2", "3", "gone"]


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def size(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def test_an_image_is_found_by_its_row_and_made_small(shelf: Shelf) -> None:
    photos = Photos(shelf, KEYS)
    assert photos.read(2) == Shelf().read("2")
    assert size(photos.jpeg(2, 60)) == (60, 45)
    assert size(photos.jpeg(2, 40)) == (40, 30)
    assert photos.jpeg(1, 60) != photos.jpeg(2, 60)


def test_what_was_made_is_not_made_again(shelf: Shelf) -> None:
    photos = Photos(shelf, KEYS)
    first = photos.jpeg(0, 60)
    assert photos.jpeg(0, 60) == first
    assert shelf.reads == {"0": 1}


def test_the_one_not_asked_for_the_longest_makes_room(shelf: Shelf) -> None:
    probe = Photos(shelf, KEYS)
    sizes = [len(probe.jpeg(row, 60)) for row in range(4)]
    photos = Photos(shelf, KEYS, kept=sizes[0] + max(sizes[1:]))
    shelf.reads.clear()
    for row in (0, 1, 0, 2, 0, 3, 0):
        photos.jpeg(row, 60)
    assert shelf.reads == {"0": 1, "1": 1, "2": 1, "3": 1}, "0 was always among the newest"
    photos.jpeg(1, 60)
    assert shelf.reads["1"] == 2


def test_an_image_larger_than_all_room_is_made_each_time(shelf: Shelf) -> None:
    photos = Photos(shelf, KEYS, kept=10)
    assert photos.jpeg(0, 60) == photos.jpeg(0, 60)
    assert shelf.reads == {"0": 2}


@pytest.mark.parametrize("row", [-1, 5, 10**12])
def test_a_row_that_is_none_is_told(shelf: Shelf, row: int) -> None:
    with pytest.raises(ImageError, match="expected 0 to 4"):
        Photos(shelf, KEYS).jpeg(row, 60)


def test_an_image_that_cannot_be_read_is_told_and_tried_again(shelf: Shelf) -> None:
    photos = Photos(shelf, KEYS)
    for _ in range(2):
        with pytest.raises(ImageError, match="not found"):
            photos.jpeg(4, 60)
    assert shelf.reads == {"gone": 2}


def test_a_source_that_fails_is_told_until_it_does_not(shelf: Shelf) -> None:
    photos = Photos(shelf, [*KEYS, "expired"])
    assert photos.problem is None
    for _ in range(2):
        with pytest.raises(SourceError, match="expired"):
            photos.jpeg(5, 60)
        assert photos.problem == "the credentials have expired"
    with pytest.raises(ImageError):
        photos.jpeg(4, 60)
    assert photos.problem is None, "that image alone is gone"


def test_threads_share_it(shelf: Shelf) -> None:
    photos = Photos(shelf, KEYS, kept=9_000)
    expected = {row: Photos(shelf, KEYS).jpeg(row, 60) for row in range(4)}
    wrong: list[int] = []

    def ask(start: int) -> None:
        wrong.extend(
            row
            for row in ((start + step) % 4 for step in range(40))
            if photos.jpeg(row, 60) != expected[row]
        )

    threads = [threading.Thread(target=ask, args=(start,)) for start in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
