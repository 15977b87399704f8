"""A disk that is full in the middle of an embedding: a small file system of the test's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Cli
from tests.pictures import folder, tree

UNSHARE = ["unshare", "--map-root-user", "--mount"]
SCRIPT = """
mount -t tmpfs -o size={size}k tmpfs {disk} || exit 77
{embed}; echo "first $?" >&2
{verify} || exit 1
mount -o remount,size=50m {disk}
{embed}; echo "second $?" >&2
cp -r {disk}/c.zarr {copy}
"""


@pytest.mark.parametrize("engine", ["inline", "processes"])
@pytest.mark.parametrize("size", [100, 600])
def test_a_full_disk_costs_one_line_and_no_chunk(
    cli: Cli, tmp_path: Path, size: int, engine: str
) -> None:
    """At first there is only room for some of the listing, or for some of the vectors."""
    photos = folder(tmp_path / "photos", {"coat": 200, "hat": 150})
    (disk := tmp_path / "disk").mkdir()
    how = [*TINY, "--chunk-rows", "16", "--batch-size", "8"]
    clipcache = f"{sys.executable} -m clipcache.cli.main"
    words = ["embed", photos, disk / "c.zarr", *how, "--engine", engine]
    script = SCRIPT.format(
        size=size,
        disk=disk,
        copy=tmp_path / "copy.zarr",
        embed=" ".join([clipcache, *map(str, words)]),
        verify=f"{clipcache} verify {disk}/c.zarr",
    )
    mount = f"mount -t tmpfs -o size={size}k tmpfs {disk}"
    if not shutil.which("unshare") or subprocess.run([*UNSHARE, "sh", "-c", mount]).returncode:
        pytest.skip("no process may have file systems of its own here")
    done = subprocess.run(
        [*UNSHARE, "bash", "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert f"error: there is no room left for {disk}/c.zarr/" in errors[0]
    assert "first 1" in done.stderr
    assert "second 0" in done.stderr
    assert ", 0 damaged" in done.stdout
    assert cli("embed", photos, tmp_path / "w.zarr", *how).code == 0
    assert tree(tmp_path / "copy.zarr") == tree(tmp_path / "w.zarr")
