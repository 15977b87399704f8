"""Embeddings that stay on disk are the ones that would be read into memory, or an error."""

import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache import dataset as datasets
from clipcache.arrays import Features
from clipcache.cache.layout import PARTS, State, chunk_file
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.stored import StoredEmbeddings
from clipcache.cache.writer import CacheWriter
from clipcache.dataset import Dataset
from clipcache.errors import CacheDamagedError, CacheError
from clipcache.labels import Round
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests import toy_cache
from tests.synthetic import CHUNK_ROWS, write_cache
from tests.toy_cache import IDENTITY, TEXT, make_columns, typed

CHUNK = 1
"""The one that is spoilt."""


@pytest.fixture
def copy(finished_cache: EmbeddingCache, tmp_path: Path) -> EmbeddingCache:
    """A cache that a test may spoil."""
    shutil.copytree(finished_cache.path, tmp_path / "cache")
    return EmbeddingCache.open(tmp_path / "cache")


@pytest.fixture(scope="module")
def whole(finished_cache: EmbeddingCache) -> Features:
    """The embeddings in memory."""
    return finished_cache.embeddings()


@pytest.fixture(scope="module")
def stored(finished_cache: EmbeddingCache) -> StoredEmbeddings:
    """The same, left on disk."""
    return StoredEmbeddings(finished_cache, 600)


@pytest.mark.parametrize("n", [1, CHUNK_ROWS, CHUNK_ROWS + 1, 600])
def test_chunks_are_the_embeddings(finished_cache: EmbeddingCache, whole: Features, n: int) -> None:
    stored = StoredEmbeddings(finished_cache, n)
    assert stored.shape == (n, whole.shape[1])
    assert stored.chunk_rows == CHUNK_ROWS
    parts = [stored.read(chunk) for chunk in range(-(-n // CHUNK_ROWS))]
    assert all(part.dtype == np.float16 for part in parts)
    assert all(len(part) == CHUNK_ROWS for part in parts[:-1])
    np.testing.assert_array_equal(np.concatenate(parts), whole[:n])


def test_chunks_are_maps_that_cannot_be_written(stored: StoredEmbeddings) -> None:
    part = stored.read(0)
    assert isinstance(part.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        part[0, 0] = 1


@given(rows=st.lists(st.integers(0, 599), max_size=30))
def test_any_rows_in_any_order(stored: StoredEmbeddings, whole: Features, rows: list[int]) -> None:
    ids = np.array(rows, dtype=np.int64)
    found = stored[ids]
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, whole[ids])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[777] ^= 4
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


SPOIL = pytest.mark.parametrize("spoil", [_flip, _cut, Path.unlink])


@SPOIL
def test_damage_is_an_error_and_other_chunks_are_not_affected(
    copy: EmbeddingCache, whole: Features, spoil: object
) -> None:
    spoil(copy.path / chunk_file(CHUNK))  # type: ignore[operator]
    stored = StoredEmbeddings(copy, 600)
    for _ in range(2):  # it does not become sound by having been looked at
        with pytest.raises(CacheDamagedError, match="chunk 1"):
            stored.read(CHUNK)
        with pytest.raises(CacheDamagedError, match="chunk 1"):
            stored[np.array([3, CHUNK_ROWS])]
    np.testing.assert_array_equal(stored.read(0), whole[:CHUNK_ROWS])
    np.testing.assert_array_equal(stored[np.array([599, 3])], whole[[599, 3]])


@pytest.mark.parametrize("spoil", [_cut, Path.unlink])
def test_a_file_that_goes_away_after_it_was_checked(copy: EmbeddingCache, spoil: object) -> None:
    stored = StoredEmbeddings(copy, 600)
    stored.read(CHUNK)
    spoil(copy.path / chunk_file(CHUNK))  # type: ignore[operator]
    with pytest.raises(CacheDamagedError, match="clipcache verify"):
        stored.read(CHUNK)


def _refresh(copy: EmbeddingCache, seed: int, n: int, folders: tuple[str, ...]) -> None:
    """Put files of another cache into the place of these, as when a copy is brought up to date."""
    newer = write_cache(copy.folder.with_name("newer"), n, seed=seed).folder
    for file in sorted(file for name in folders for file in (newer / name).rglob("*")):
        if file.is_file():
            place = copy.folder / file.relative_to(newer)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)


@pytest.mark.parametrize("read_before", [True, False])
@pytest.mark.parametrize("folders", [("images",), ("images", "manifest")])
def test_vectors_that_came_after_it_was_opened_are_refused(
    copy: EmbeddingCache, folders: tuple[str, ...], read_before: bool
) -> None:
    stored = StoredEmbeddings(copy, 600)
    if read_before:
        stored.read(CHUNK)
    _refresh(copy, 1, 600, folders)
    with pytest.raises(CacheDamagedError, match=r"chunk 1 .* run this again"):
        stored.read(CHUNK)


@pytest.mark.parametrize("read_before", [True, False])
@pytest.mark.parametrize("n", [600, 900])
def test_the_same_vectors_may_be_written_anew_and_more_behind_them(
    copy: EmbeddingCache, whole: Features, n: int, read_before: bool
) -> None:
    stored = StoredEmbeddings(copy, 600)
    if read_before:
        stored[np.arange(600)]
    _refresh(copy, 0, n, ("images", "manifest"))
    np.testing.assert_array_equal(stored[np.arange(600)], whole)


def test_a_file_that_comes_during_the_check_is_checked_too(copy: EmbeddingCache) -> None:
    stored, check = StoredEmbeddings(copy, 600), copy.check

    def slowly(*what: object, **how: object) -> None:
        check(*what, **how)  # type: ignore[arg-type]
        _refresh(copy, 1, 600, ("images", "manifest"))

    with (
        patch.object(copy, "check", slowly),
        pytest.raises(CacheDamagedError, match="run this again"),
    ):
        stored.read(CHUNK)


def test_a_file_is_checked_once(copy: EmbeddingCache) -> None:
    stored = StoredEmbeddings(copy, 600)
    with patch.object(copy, "check", wraps=copy.check) as check:
        for _ in range(3):
            stored.read(CHUNK)
    assert check.call_count == 1


@SPOIL
def test_a_run_on_damaged_embeddings_says_so(
    copy: EmbeddingCache, tmp_path: Path, spoil: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "IN_MEMORY", 0)
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run", RunConfig(), Dataset.load(copy))
    spoil(copy.path / chunk_file(CHUNK))  # type: ignore[operator]
    with pytest.raises(CacheDamagedError, match="chunk 1"):
        replay(run)
    run.store.close()


def test_a_chunk_of_failed_images_is_zeros(tmp_path: Path) -> None:
    values = make_columns(0, 3 * toy_cache.CHUNK_ROWS)
    failed = slice(toy_cache.CHUNK_ROWS, 2 * toy_cache.CHUNK_ROWS)
    values["embedding"][failed], values["state"][failed] = 0, State.FAILED
    with CacheWriter.open(tmp_path / "cache", IDENTITY, chunk_rows=toy_cache.CHUNK_ROWS) as writer:
        writer.write_text(TEXT)
        writer.grow(3 * toy_cache.CHUNK_ROWS)
        for chunk in range(3):
            for part, names in PARTS.items():
                rows = {name: values[name][writer.cache.span(chunk)] for name in names}
                writer.commit(part, chunk, typed(writer, rows, names))
    cache = EmbeddingCache.open(tmp_path / "cache")
    assert not list(cache.damage())
    stored = StoredEmbeddings(cache, cache.n)
    np.testing.assert_array_equal(stored[np.arange(cache.n)], cache.embeddings())


def test_an_unfinished_cache_has_no_embeddings_yet(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache", finished=False)
    with pytest.raises(CacheError, match="not finished"):
        StoredEmbeddings(cache, 10)


def played(folder: Path, data: Dataset) -> tuple[list[list[int]], list[Round]]:
    """Return batches and measurements of a whole run."""
    folder.mkdir()
    run = Run(folder, RunConfig(init="stratified:2", rounds=3, seed=4), data)
    rounds = replay(run)
    batches = [batch.tolist() for batch in run.store.batches()]
    run.store.close()
    return batches, rounds


@pytest.mark.parametrize("n", [600, 400])
def test_a_run_is_the_same_on_disk_as_in_memory(
    finished_cache: EmbeddingCache, tmp_path: Path, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Dataset.load(finished_cache, n)
    monkeypatch.setattr(datasets, "IN_MEMORY", 0)
    there = Dataset.load(finished_cache, n)
    assert isinstance(here.features, np.ndarray)
    assert isinstance(there.features, StoredEmbeddings)
    assert there.features.shape == here.features.shape
    assert there.fingerprint == here.fingerprint
    batches, rounds = played(tmp_path / "here", here)
    on_disk, measured = played(tmp_path / "there", there)
    assert on_disk == batches
    assert [(r.labels, r.top1, r.top5) for r in measured] == [
        (r.labels, r.top1, r.top5) for r in rounds
    ]
    for number in range(len(rounds)):
        head = f"heads/{number:03d}.safetensors"
        assert (tmp_path / "here" / head).read_bytes() == (tmp_path / "there" / head).read_bytes()


def test_what_is_kept_in_memory_is_counted_in_bytes(
    finished_cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = finished_cache.embeddings().nbytes
    monkeypatch.setattr(datasets, "IN_MEMORY", size)
    assert isinstance(Dataset.load(finished_cache).features, np.ndarray)
    monkeypatch.setattr(datasets, "IN_MEMORY", size - 1)
    assert isinstance(Dataset.load(finished_cache).features, StoredEmbeddings)
