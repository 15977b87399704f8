"""Caches in a bucket from the command line: embedded, killed, resumed, looked at, labelled."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipcache.cache import EmbeddingCache
from clipcache.cache.layout import chunk_file
from clipcache.objects import Objects
from clipcache.run import Run
from tests.buckets import make_bucket, s3_server
from tests.cli.conftest import TINY, Cli
from tests.cli.test_errors import refused
from tests.pictures import folder, tree

URL = "s3://bucket/caches/photos.zarr"
SMALL = [*TINY, "--chunk-rows", "8", "--batch-size", "4", "--split", "random:0.3"]


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Objects]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        yield Objects(URL)


def copied() -> dict[str, bytes]:
    found = tree(EmbeddingCache.open(URL).folder)
    found.pop(".tags.json")
    return found


def killed_at(photos: Path, chunks: int, bucket: Objects) -> None:
    """Embed in a process of its own, and kill it when so many chunks are sealed."""
    command = [sys.executable, "-m", "clipcache.cli.main", "embed", str(photos), URL]
    command += map(str, SMALL)
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        sealed = 0
        while sealed < chunks:
            assert process.poll() is None, "it was done before it could be killed"
            time.sleep(0.02)
            keys = [found.key for found in bucket.list()]
            sealed = sum(key.startswith("manifest/result/c/") for key in keys)
        process.kill()
        assert process.wait() == -9


def test_embed_kill_resume_and_loop(cli: Cli, bucket: Objects, tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", {"coat": 90, "hat": 70})
    killed_at(photos, 3, bucket)
    again = cli("embed", photos, URL, *SMALL, "--json")
    assert again.code == 0, again.err
    summary = json.loads(again.out)
    assert 0 < summary["processed"] < 160
    assert cli("embed", photos, tmp_path / "w.zarr", *SMALL).code == 0
    assert copied() == tree(tmp_path / "w.zarr")

    assert json.loads(cli("info", URL, "--json").out)["images"] == 160
    assert cli("verify", URL).code == 0
    loop = ["--batch", "5", "--rounds", "2", "--init", "random:6", "--strategy", "margin"]
    looped = [
        cli("loop", cache, tmp_path / run, *loop, "--full-pool", "--json")
        for cache, run in ((URL, "a"), (tmp_path / "w.zarr", "b"))
    ]
    assert [result.code for result in looped] == [0, 0], looped[0].err
    asked = [[batch.tolist() for batch in Run.open(tmp_path / run).batches] for run in "ab"]
    assert asked[0] == asked[1]
    predicted = cli("predict", tmp_path / "a", URL)
    assert predicted.code == 0, predicted.err
    assert cli("search", URL, "a hat").code == 0


def test_a_copy_may_be_deleted_at_any_time(cli: Cli, tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", {"coat": 9, "hat": 7})
    assert cli("embed", photos, URL, *SMALL).code == 0
    before = copied()
    shutil.rmtree(tmp_path / "xdg")
    assert copied() == before


def test_verify_looks_at_the_bucket_and_mends_the_copy(
    cli: Cli, bucket: Objects, tmp_path: Path
) -> None:
    photos = folder(tmp_path / "photos", {"coat": 9, "hat": 7})
    assert cli("embed", photos, URL, *SMALL).code == 0
    file = EmbeddingCache.open(URL).folder / chunk_file(1)
    whole = file.read_bytes()
    file.write_bytes(bytes(len(whole)))
    assert cli("search", URL, "a hat").code == 1, "the copy is damaged"
    assert cli("verify", URL).out == "2 of 2 chunks are finished, 0 damaged\n"
    assert file.read_bytes() == whole
    assert cli("search", URL, "a hat").code == 0
    bucket.delete(chunk_file(1))
    damaged = cli("verify", URL)
    assert damaged.code == 1
    assert damaged.out.endswith("2 of 2 chunks are finished, 1 damaged\n")


def test_what_is_wrong_with_a_bucket_is_told_in_one_line(cli: Cli, tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", {"coat": 2})
    refused(cli("embed", photos, "s3://none/c.zarr", *SMALL), "there is no bucket 'none'")
    refused(cli("info", "s3://bucket/none.zarr"), "no cache at s3://bucket/none.zarr; make one")
    refused(cli("embed", photos, "s3:///c.zarr", *SMALL), "names no bucket")
