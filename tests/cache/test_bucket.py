"""Caches in a bucket: the same bytes, one writer, and copies that are brought up to date."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import zarr

from clipcache.cache import EmbeddingCache
from clipcache.cache import lease as lease_module
from clipcache.cache.bucket import Bucket
from clipcache.cache.layout import RESULT
from clipcache.cache.writer import CacheWriter
from clipcache.embed import EmbedOptions, EmbedSummary, embed
from clipcache.engines.processes import Processes
from clipcache.errors import CacheError, CacheLockedError, CacheMissingError, SourceError
from clipcache.images.folder import Folder
from clipcache.images.split import RandomSplit
from clipcache.loop import replay
from clipcache.objects import Objects
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests.buckets import google_server, lock, make_bucket, s3_server, until_lost
from tests.pictures import folder, save, tree
from tests.real_encoder import tiny

OPTIONS = EmbedOptions(batch_size=5, workers=2, chunk_rows=8)
URL = "s3://bucket/caches/c.zarr"
NOBODY = 2**22 + 1
"""The id of no process: Linux gives out none so high."""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Objects]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        yield Objects(URL)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return folder(tmp_path / "photos", {"coat": 20, "hat": 17})


def run(photos: Path, path: Path | str, **how: object) -> EmbedSummary:
    return embed(Folder(photos), tiny(), path, OPTIONS, **how)  # type: ignore[arg-type]


def copied(url: str = URL) -> dict[str, bytes]:
    """What is in the bucket, as a reader finds it on its disk."""
    found = tree(EmbeddingCache.open(url).folder)
    found.pop(".tags.json")
    return found


def test_a_bucket_holds_what_a_folder_would(bucket: Objects, photos: Path, tmp_path: Path) -> None:
    assert run(photos, URL).processed == 37
    run(photos, tmp_path / "w")
    assert copied() == tree(tmp_path / "w")
    assert {found.key for found in bucket.list()} == {*copied(), ".lock"}
    assert bucket.get(".lock") == b"", "nobody has it"
    assert run(photos, URL).processed == 0
    save(photos / "coat" / "003.png", 99)
    save(photos / "zebra.png", 98)
    for path in (URL, tmp_path / "w"):
        assert run(photos, path).processed == 2
    assert copied() == tree(tmp_path / "w")


def test_google_cloud_storage_holds_them_too(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    url = "gs://bucket/caches/c.zarr"
    with google_server(monkeypatch):
        assert run(photos, url).processed == 37
        save(photos / "coat" / "003.png", 99)
        assert run(photos, url).processed == 1
        run(photos, tmp_path / "w")
        assert copied(url) == tree(tmp_path / "w")
        assert {found.key for found in Objects(url).list()} == {*copied(url), ".lock"}
        assert Objects(url).get(".lock") == b"", "nobody has it"


def test_a_store_may_be_opened_for_reading_only(bucket: Objects, photos: Path) -> None:
    run(photos, URL)
    group = zarr.open_group(Bucket(URL).zarr(), mode="r")
    assert group["images/key"].shape == (37,)
    with pytest.raises(ValueError, match="read-only"):
        group.attrs["note"] = "mine"


def test_what_is_large_is_put_in_one_request_too(bucket: Objects) -> None:
    """A kill would leave some parts of several, which nobody sees and somebody pays for."""
    large = np.random.default_rng(0).bytes(6 << 20)
    bucket.put("own", large)
    group = zarr.create_group(Bucket(URL).zarr())
    rows = np.frombuffer(large, np.uint8)
    group.create_array("x", data=rows, chunks=rows.shape, compressors=None)
    put = {found.key: found for found in bucket.list()}
    for key in ("own", "x/c/0"):
        assert put[key].size == 6 << 20
        assert "-" not in put[key].tag, "S3 counts parts there"


def test_processes_and_shares_write_to_it(bucket: Objects, photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "w")
    run(photos, URL, engine=Processes(tiny, 2))
    assert copied() == tree(tmp_path / "w")


def test_a_copy_fetches_only_what_has_changed(
    bucket: Objects, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(photos, URL)
    before = EmbeddingCache.open(URL).embeddings()
    fetched: list[str] = []
    real = Objects.get

    def get(self: Objects, key: str) -> bytes:
        fetched.append(key)
        return real(self, key)

    monkeypatch.setattr(Objects, "get", get)
    np.testing.assert_array_equal(EmbeddingCache.open(URL).embeddings(), before)
    assert not fetched
    save(photos / "coat" / "003.png", 99)
    run(photos, URL)
    fetched.clear()
    after = EmbeddingCache.open(Path(URL)).embeddings()  # as the command line has it
    assert (after != before).any(axis=1).nonzero()[0].tolist() == [3]
    assert 0 < len(fetched) <= 6
    assert all(key.endswith("c/0/0") or key.endswith("c/0") for key in fetched), "of one chunk"


def test_a_copy_whose_files_are_gone_or_cut_off_is_fetched_again(
    bucket: Objects, photos: Path
) -> None:
    run(photos, URL)
    before = EmbeddingCache.open(URL).embeddings()
    chunks = EmbeddingCache.open(URL).folder / "images/embedding/c"
    (chunks / "0/0").unlink()
    (chunks / "1/0").write_bytes(b"half")
    np.testing.assert_array_equal(EmbeddingCache.open(URL).embeddings(), before)


def test_what_is_opened_anew_is_the_bucket_and_not_the_copy(bucket: Objects, photos: Path) -> None:
    run(photos, URL)
    file = EmbeddingCache.open(URL).folder / "images/embedding/c/1/0"
    whole = file.read_bytes()
    file.write_bytes(bytes(len(whole)))
    assert len(list(EmbeddingCache.open(URL).damage())) == 1
    assert not list(EmbeddingCache.open(URL, anew=True).damage())
    assert file.read_bytes() == whole
    bucket.put("images/embedding/c/1/0", bytes(len(whole)))
    assert len(list(EmbeddingCache.open(URL, anew=True).damage())) == 1
    bucket.put("images/embedding/c/1/0", whole)
    assert not list(EmbeddingCache.open(URL).damage())
    bucket.delete("images/embedding/c/1/0")
    assert len(list(EmbeddingCache.open(URL, anew=True).damage())) == 1, "its copy is still there"


def test_objects_that_stand_for_folders_are_passed_over(bucket: Objects, photos: Path) -> None:
    """Consoles make them, and so do programs that copy folders."""

    def mark(key: str) -> None:  # obstore leaves out the slash at the end
        address = f"{os.environ['AWS_ENDPOINT_URL']}/bucket/caches/{key}"
        assert httpx.put(address, trust_env=False).status_code == 200

    mark("c.zarr/")
    assert run(photos, URL).processed == 37
    mark("c.zarr/images/")
    mark("c.zarr/images/embedding/c/")
    assert len(EmbeddingCache.open(URL).embeddings()) == 37


def test_a_thread_that_does_chunks_knows_that_the_lock_is_lost(
    bucket: Objects, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "RENEWED", 0.05)
    run(photos, URL)
    with CacheWriter.open(URL, tiny().identity, chunk_rows=8) as writer:
        beside = CacheWriter.beside(URL, tiny().identity)
        rows = {name: writer.cache.read(name, slice(0, 8)) for name in RESULT}
        beside.commit("result", 0, rows)
        lock(bucket)
        until_lost()
        with pytest.raises(CacheLockedError, match="could not renew its lock"):
            beside.commit("result", 0, rows)


KILLED = """
import sys
from pathlib import Path
from clipcache.embed import EmbedOptions, embed
from clipcache.images.folder import Folder
from clipcache.images.split import RandomSplit
from tests.real_encoder import tiny
options = EmbedOptions(batch_size=5, workers=1, chunk_rows=8)
def tell(done, failed, total):
    print(done, flush=True)
    if done >= 20:
        sys.stdin.read()  # until it is killed
embed(Folder(Path(sys.argv[1])), tiny(), sys.argv[2], options, tell)
"""


def test_a_killed_run_goes_on_at_once(bucket: Objects, photos: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(photos), URL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 20:
            pass
        with pytest.raises(CacheLockedError, match=rf"\(process {process.pid} on "):
            run(photos, URL)
        process.kill()
    assert ".lock" in Bucket(URL).files(".lock")
    summary = run(photos, URL)
    assert 0 < summary.processed < 37
    run(photos, tmp_path / "w")
    assert copied() == tree(tmp_path / "w")


def test_a_run_ends_where_its_lock_is_lost(
    bucket: Objects, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "RENEWED", 0.05)
    looked_at: list[int] = []

    def progress(done: int, failed: int, total: int) -> None:
        looked_at.append(done)
        if done == 5:
            lock(bucket)
            until_lost()

    with pytest.raises(CacheLockedError, match="could not renew its lock"):
        run(photos, URL, progress=progress)
    assert looked_at[-1] == 5


def test_nothing_is_fetched_of_what_is_no_cache(
    bucket: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("photo.jpg", b"large")
    monkeypatch.setattr(Objects, "get", lambda self, key: pytest.fail(f"{key} was fetched"))
    with pytest.raises(CacheMissingError, match=f"no cache at {URL}"):
        EmbeddingCache.open(URL)


def test_what_is_no_cache_is_refused(bucket: Objects, photos: Path) -> None:
    with pytest.raises(CacheMissingError, match=f"no cache at {URL}"):
        EmbeddingCache.open(URL)
    bucket.put("notes.txt", b"mine")
    with pytest.raises(CacheError, match=r"has other things in it \(notes.txt, ...\), not a cache"):
        run(photos, URL)


def test_a_server_that_goes_away_costs_one_line(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        run(photos, URL)
        EmbeddingCache.open(URL)
    with pytest.raises(SourceError, match="cannot be reached, or the connection broke"):
        EmbeddingCache.open(URL)


def test_a_run_goes_on_with_a_cache_in_a_bucket(
    bucket: Objects, photos: Path, tmp_path: Path
) -> None:
    embed(RandomSplit(Folder(photos), 0.3), tiny(), URL, OPTIONS)
    config = RunConfig(strategy="margin", head="linear", batch=5, rounds=2, init="random:4")
    begun = Run.begin(tmp_path / "run", config, EmbeddingCache.open(URL))
    begun.store.close()
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["cache"] == URL
    again = Run.open(tmp_path / "run")
    assert len(replay(again)) == 3
    again.store.close()
