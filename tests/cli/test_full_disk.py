"""A disk that is full in the middle of the work: a small file system of the test's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.buckets import make_bucket, s3_server, upload
from tests.cli.conftest import TINY, Cli
from tests.pictures import folder, tree
from tests.synthetic import write_cache

CLIPCACHE = f"{sys.executable} -m clipcache.cli.main"
UNSHARE = ["unshare", "--map-root-user", "--mount"]
SCRIPT = """
mount -t tmpfs -o size={size}k tmpfs {disk} || exit 77
{embed}; echo "first $?" >&2
{verify} || exit 1
mount -o remount,size=50m {disk}
{embed}; echo "second $?" >&2
cp -r {disk}/c.zarr {copy}
"""
COPY = """
mount -t tmpfs -o size=100k tmpfs {disk} || exit 77
{read}; echo "first $?" >&2
mount -o remount,size=50m {disk}
{read}; echo "second $?" >&2
"""


def _run(script: str, disk: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script that mounts file systems; skip where that is not allowed."""
    mount = f"mount -t tmpfs -o size=100k tmpfs {disk}"
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "sh", "-c", mount]).returncode:
        pytest.skip("no process may have file systems of its own here")
    return subprocess.run(
        [*UNSHARE, "bash", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def _only_error(done: subprocess.CompletedProcess[str]) -> str:
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.mark.parametrize(("size", "engine"), [(100, "inline"), (600, "inline"), (600, "processes")])
def test_a_full_disk_costs_one_line_and_no_chunk(
    cli: Cli, tmp_path: Path, size: int, engine: str
) -> None:
    """At first there is only room for some of the listing, for which no engine is asked, or for
    some of the vectors.
    """
    photos = folder(tmp_path / "photos", {"coat": 200, "hat": 150})
    (disk := tmp_path / "disk").mkdir()
    how = [*TINY, "--chunk-rows", "16", "--batch-size", "8"]
    words = ["embed", photos, disk / "c.zarr", *how, "--engine", engine]
    script = SCRIPT.format(
        size=size,
        disk=disk,
        copy=tmp_path / "copy.zarr",
        embed=" ".join([CLIPCACHE, *map(str, words)]),
        verify=f"{CLIPCACHE} verify {disk}/c.zarr",
    )
    done = _run(script, disk, OMP_NUM_THREADS="1")
    assert f"error: there is no room left for {disk}/c.zarr/" in _only_error(done)
    assert "first 1" in done.stderr
    assert "second 0" in done.stderr
    assert ", 0 damaged" in done.stdout
    assert cli("embed", photos, tmp_path / "w.zarr", *how).code == 0
    assert tree(tmp_path / "copy.zarr") == tree(tmp_path / "w.zarr")


def test_a_copy_that_has_no_room_says_how_it_gets_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk := tmp_path / "disk").mkdir()
    url = "s3://bucket/c.zarr"
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        upload(write_cache(tmp_path / "c.zarr", 4000).folder, url)
        script = COPY.format(disk=disk, read=f"{CLIPCACHE} info {url}")
        done = _run(script, disk, XDG_CACHE_HOME=str(disk))
    error = _only_error(done)
    assert error.startswith(f"error: there is no room left for {disk}/clipcache/copies/")
    assert "XDG_CACHE_HOME" in error
    assert "first 1" in done.stderr
    assert "second 0" in done.stderr
    assert "chunks: 16" in done.stdout
