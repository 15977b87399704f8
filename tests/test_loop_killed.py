"""A run that was killed, anywhere, goes on to the very result of one that was left alone."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.labels import LabelStore
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests.standstill import killed_before

CONFIG = RunConfig(
    strategy="random",  # the one that would show a generator that is not seeded by round
    subsample=100,
    init="random:10",
    batch=4,
    rounds=1,
    head_start="continue",
    label_noise=0.2,
)

WRITES = {
    "fsync",
    "mkdir",
    "replace",
    "BufferedWriter.write",
    "Connection.executemany",
    "Connection.executescript",
    "Connection.__exit__",
}
"""C functions that change what is on disk; the last is the end of a transaction."""


class Killed(BaseException):
    """Caught by nobody."""


class KillAt:
    """Raises Killed at the n-th moment just before or just after a write."""

    def __init__(self, moment: int) -> None:
        self.left = moment

    def __call__(self, frame: FrameType, event: str, function: Any) -> None:
        if event in ("c_call", "c_return") and function.__qualname__ in WRITES:
            self.left -= 1
            if self.left < 0:
                sys.setprofile(None)
                raise Killed


def contents(folder: Path) -> dict[str, Any]:
    """Return all that a run has stored, less times and seconds, read with plain SQLite."""
    with closing(sqlite3.connect(folder / "labels.sqlite")) as db:
        found: dict[str, Any] = {
            "batches": db.execute("select * from batches order by round, position").fetchall(),
            "labels": db.execute(
                "select id, row, label, annotator, source, round from labels order by id"
            ).fetchall(),
            "rounds": db.execute(
                "select round, labels, top1, top5 from rounds order by round"
            ).fetchall(),
        }
    for head in sorted((folder / "heads").iterdir()):
        found[head.name] = head.read_bytes()
    return found


def play(folder: Path, cache: EmbeddingCache, moment: int | None) -> bool:
    """Replay with fresh objects; return False where it was killed at `moment` of its writes."""
    run = None
    try:
        sys.setprofile(None if moment is None else KillAt(moment))
        run = Run.begin(folder, CONFIG, cache)
        replay(run)
    except Killed:
        return False
    finally:
        sys.setprofile(None)
        if run is not None:
            run.store.close()
    return True


@pytest.fixture
def cache(
    finished_cache: EmbeddingCache, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> EmbeddingCache:
    """The finished cache, read only once: these tests are about what a run writes."""
    monkeypatch.setattr(Dataset, "load", lambda *_: dataset)
    return finished_cache


def test_killed_once_at_any_write(tmp_path: Path, cache: EmbeddingCache) -> None:
    assert play(tmp_path / "whole", cache, None)
    whole = contents(tmp_path / "whole")
    assert len(whole["rounds"]) == 2
    moment = 0
    while not play(tmp_path / f"{moment}", cache, moment):
        folder = tmp_path / f"{moment}"
        assert play(folder, cache, None), moment
        assert contents(folder) == whole, f"killed at write {moment}"
        moment += 1
    assert moment > 40  # the moments were really there


def test_killed_again_and_again(tmp_path: Path, cache: EmbeddingCache) -> None:
    assert play(tmp_path / "whole", cache, None)
    kills = 0
    # An opened run writes a few times before it gets anywhere, so each life is a little longer.
    while not play(tmp_path / "run", cache, kills):
        kills += 1
        assert kills < 100
    assert kills > 5
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")


def test_sigkill(
    tmp_path: Path, finished_cache: EmbeddingCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = RunConfig(batch=2, rounds=15, init="stratified:1")
    whole = Run.begin(tmp_path / "whole", config, finished_cache)
    replay(whole)
    whole.store.close()
    folder = tmp_path / "run"
    command = ["loop", str(finished_cache.path), str(folder)]
    command += ["--batch=2", "--rounds=15", "--init=stratified:1"]
    assert asdict(config) == asdict(RunConfig()) | {"batch": 2, "rounds": 15, "init": config.init}
    environment = {"OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    for batches, heads in ((4, 3), (6, 8)):  # the second time it goes on with the fourth
        assert killed_before(LabelStore, "add_batch", batches, command) == -signal.SIGKILL
        assert len(list((folder / "heads").iterdir())) == heads
    assert contents(folder) != contents(tmp_path / "whole")
    program = [sys.executable, "-m", "clipcache.cli.main", *command]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL, timeout=120)
    assert contents(folder) == contents(tmp_path / "whole")
