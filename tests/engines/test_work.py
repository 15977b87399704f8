"""Chunks that are done in this process: by how many threads makes no difference."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import ref

import numpy as np
import pytest
import torch

from clipcache.arrays import Pixels, Vectors
from clipcache.cache import EmbeddingCache
from clipcache.embed import EmbedOptions, embed
from clipcache.engines.work import AHEAD, Seen, Task, Unit, do_chunks
from clipcache.errors import CacheIdentityError, ImageError, SourceError
from clipcache.images.base import PassingError
from clipcache.images.folder import Folder
from tests.pictures import folder, hostile, tree
from tests.real_encoder import Counting, tiny
from tests.toy_cache import IDENTITY

OPTIONS = EmbedOptions(batch_size=5, workers=2, chunk_rows=8)


class Wide(Counting):
    """The real encoder, which wants so many batches at once."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self._wanted = wanted

    @property
    def lanes(self) -> int:
        return self._wanted


class Slow(Wide):
    """One that takes its time, and counts pixels: all of them, and those still in memory."""

    def __init__(self, *, decoding: float = 0, encoding: float = 0, quick: int = 0) -> None:
        super().__init__(1)
        self._seconds, self._quick = (decoding, encoding), quick
        self.pixels: list[ref[Pixels]] = []

    @property
    def kept(self) -> int:
        return sum(one() is not None for one in self.pixels)

    def prepare(self, data: bytes) -> Pixels:
        if len(self.pixels) >= self._quick:
            time.sleep(self._seconds[0])
        pixels = super().prepare(data)
        self.pixels.append(ref(pixels))
        return pixels

    def encode_images(self, batch: Pixels) -> Vectors:
        time.sleep(self._seconds[1])
        return super().encode_images(batch)


@dataclass(frozen=True)
class Watched:
    """Does chunks here, and keeps what was seen."""

    encoder: Counting
    seen: list[Seen]

    def run(self, task: Task, units: Iterable[Unit]) -> Iterator[Seen]:
        for one in do_chunks(task, self.encoder, units):
            self.seen.append(one)
            yield one


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = folder(tmp_path / "photos", {"coat": 20, "hat": 15})
    hostile(root / "odd")
    return root


def test_bytes_do_not_depend_on_how_many_threads_encode(photos: Path, tmp_path: Path) -> None:
    tiny()  # which sets the number of threads when it is made
    before = torch.get_num_threads()
    try:
        for lanes, threads in ((1, 1), (2, 2), (7, 2)):
            torch.set_num_threads(threads)
            embed(Folder(photos), Wide(lanes), tmp_path / str(lanes), OPTIONS)
            assert torch.get_num_threads() == threads, "others get their threads back"
    finally:
        torch.set_num_threads(before)
    assert tree(tmp_path / "1") == tree(tmp_path / "2") == tree(tmp_path / "7")


def test_what_is_told_adds_up_and_a_chunk_is_sealed_when_it_is_said(
    photos: Path, tmp_path: Path
) -> None:
    seen: list[Seen] = []
    embed(Folder(photos), tiny(), tmp_path / "c", OPTIONS, engine=Watched(Counting(), seen))
    assert sum(one.images for one in seen) == 41
    assert sum(one.failed for one in seen) == 6
    assert [one.chunk for one in seen if one.sealed] == list(range(6))
    cache = EmbeddingCache.open(tmp_path / "c")
    task = Task(cache.path, Folder(photos), 5, 1)
    rows = np.arange(8)
    (photos / "coat" / "000.png").unlink()
    for one in do_chunks(task, tiny(), [Unit(0, rows)]):
        if not one.sealed:
            assert cache.read("state")[0] == 1
    assert cache.read("state")[0] == 2
    assert cache.read("reason")[0] == "file not found"


@pytest.fixture
def unsure(photos: Path, tmp_path: Path) -> Task:
    """A chunk whose images are all other files than before, the first of them no image."""
    embed(Folder(photos), tiny(), tmp_path / "c", replace(OPTIONS, chunk_rows=50))
    for photo in photos.glob("*/*.png"):
        photo.write_bytes(photo.read_bytes() + b" ")
    (photos / "coat" / "000.png").write_text("I am no picture")
    return Task(tmp_path / "c", Folder(photos), 5, 1)


def test_nothing_more_is_decoded_when_a_run_ends_early(unsure: Task) -> None:
    read = 2 * unsure.batch_size
    encoder = Slow(decoding=1, quick=read)
    with pytest.raises(ImageError, match="000"):
        list(do_chunks(replace(unsure, strict=True), encoder, [Unit(0, np.arange(35))]))
    assert read <= len(encoder.pixels) <= read + 3, "not all that it was ahead"
    encoder = Slow(decoding=1, quick=read)
    seen = do_chunks(unsure, encoder, [Unit(0, np.arange(35))])
    next(seen)
    before = len(encoder.pixels)
    seen.close()  # as Ctrl-C does
    assert len(encoder.pixels) <= before + 3


def test_pixels_of_a_batch_are_in_memory_once(unsure: Task) -> None:
    """Those of each image are let go when they are put together."""
    encoder = Slow(encoding=0.1)
    for _ in do_chunks(unsure, encoder, [Unit(0, np.arange(35))]):
        assert encoder.kept <= AHEAD * unsure.batch_size + 2
    assert len(encoder.pixels) == 34


def test_another_encoder_does_no_chunk(photos: Path, tmp_path: Path) -> None:
    embed(Folder(photos), tiny(), tmp_path / "c", OPTIONS)
    before = tree(tmp_path / "c")

    class Other(Counting):
        identity = IDENTITY  # type: ignore[assignment]

    task = Task(tmp_path / "c", Folder(photos), 5, 1)
    with pytest.raises(CacheIdentityError):
        next(do_chunks(task, Other(), [Unit(0, np.arange(8))]))
    assert tree(tmp_path / "c") == before


@dataclass(frozen=True)
class Busy(Folder):
    """A folder whose images cannot be had while there is a file that says so."""

    def read(self, key: str) -> bytes:
        if Path(self.root, key).exists() and Path(self.root).with_name("busy").exists():
            raise PassingError("the server is busy (429)")
        return super().read(key)


def test_what_cannot_be_had_now_is_asked_for_again(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "busy").touch()
    with pytest.raises(SourceError, match="none of the 41 images can be used"):
        embed(Busy(photos), tiny(), tmp_path / "c", OPTIONS)
    reasons = EmbeddingCache.open(tmp_path / "c").read("reason")
    assert set(reasons.tolist()) == {"the server is busy (429)", "file not found"}
    (tmp_path / "busy").unlink()
    summary = embed(Busy(photos), tiny(), tmp_path / "c", OPTIONS)
    assert (summary.processed, summary.failed) == (40, 6)
    assert embed(Busy(photos), tiny(), tmp_path / "c", OPTIONS).processed == 0
    embed(Folder(photos), tiny(), tmp_path / "w", OPTIONS)
    assert tree(tmp_path / "c") == tree(tmp_path / "w")
