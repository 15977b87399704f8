"""kill -9 of a real embedding at moments spread over its work, and the same command again.

Raise KILLS to search harder: each costs one start of Python with torch.
"""

import os
import shutil
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.conftest import Cli
from tests.pictures import folder, hostile, save, tree

KILLS = 2
OPTIONS = "--model clipcache-tiny --device cpu --chunk-rows 16 --batch-size 8 --split random:0.3"


def kill_after(photos: Path, cache: Path, seconds: float) -> bool:
    """Start the command, wait until it has begun to write, then so long, then kill it."""
    command = [sys.executable, "-m", "clipcache.cli.main", "embed", str(photos), str(cache)]
    with subprocess.Popen(
        [*command, *OPTIONS.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        before = first_write(cache)
        while first_write(cache) == before and process.poll() is None:
            time.sleep(0.005)
        time.sleep(seconds)
        process.kill()
        return process.wait() == -9


def first_write(cache: Path) -> int:
    """When the array that is written first, both to a new cache and to a growing one, changed."""
    try:
        return (cache / "images" / "key" / "zarr.json").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("kind", ["first", "append"])
def test_kill_9_and_again_gives_the_same_bytes(cli: Cli, tmp_path: Path, kind: str) -> None:
    torch.set_num_threads(1)
    photos, start = tmp_path / "photos", tmp_path / "start"
    folder(photos, {"coat": 22, "hat": 15})
    if kind == "append":
        assert cli("embed", photos, start, *OPTIONS.split()).code == 0
        save(photos / "coat" / "005.png", 900)
    folder(photos, {"belt": 14, "coat": 25, "": 14}, seed=2000)
    hostile(photos / "hat")

    def fresh(name: str) -> Path:
        if start.exists():
            shutil.copytree(start, tmp_path / name)
        return tmp_path / name

    began = time.perf_counter()
    assert cli("embed", photos, fresh("undisturbed"), *OPTIONS.split()).code == 0
    duration = time.perf_counter() - began
    undisturbed = tree(tmp_path / "undisturbed")
    moments = np.random.default_rng(len(kind)).uniform(0, 0.8 * duration, KILLS)
    waiting, hit = deque(moments.tolist()), 0
    while waiting:
        seconds = waiting.popleft()
        path = fresh(f"killed after {seconds}")
        hit += kill_after(photos, path, seconds)
        assert cli("embed", photos, path, *OPTIONS.split()).code == 0
        assert tree(path) == undisturbed, f"killed after {seconds:.3f} s"
        if not (hit or waiting) and seconds > 0.01:  # this machine is faster now than it was
            waiting.append(seconds / 2)
    assert hit, "every run had ended before it was killed"
