"""Chunks that are done in this process: by how many threads makes no difference."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from clipcache.cache import EmbeddingCache
from clipcache.embed import EmbedOptions, embed
from clipcache.engines.work import Seen, Task, Unit, do_chunks
from clipcache.errors import CacheIdentityError, SourceError
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
