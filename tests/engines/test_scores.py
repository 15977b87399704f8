"""Pools that are scored by a real Ray cluster of two nodes, some of whose workers are killed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from clipcache.cache.reader import EmbeddingCache
from clipcache.cli.loop import command
from clipcache.dataset import Dataset
from clipcache.engines.scores import scored_by
from clipcache.errors import EngineError
from tests.engines.questions import answers, batches, pool_cache

CHUNKS = 14


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pool in chunks of two sizes."""
    folder = tmp_path_factory.mktemp("work")
    for size in (50, 1000):
        pool_cache(folder / str(size), size)
    return folder


@pytest.fixture(scope="module")
def found(work: Path) -> dict[str, Any]:
    """What a cluster finds in them."""
    pytest.importorskip("ray", reason="Ray is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.two_machines", str(work)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # Ray prints there, too.
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    results: dict[str, Any] = json.loads(line)
    return results


def here(work: Path, size: int) -> Dataset:
    return Dataset.load(EmbeddingCache.open(work / str(size)))


@pytest.mark.parametrize(("name", "size"), [("small", 50), ("large", 1000)])
def test_a_cluster_chooses_the_rows_that_this_process_does(
    work: Path, found: dict[str, Any], name: str, size: int
) -> None:
    expected = answers(here(work, size).features)
    assert found[name].keys() == expected.keys()
    for question, (rows, scores) in expected.items():
        assert found[name][question] == [rows, scores], question


def test_a_run_asks_for_the_same_images(work: Path, found: dict[str, Any]) -> None:
    cache = EmbeddingCache.open(work / "1000")
    assert found["run"] == batches(cache, work / "here", "inline")


def test_every_part_is_scored_once_and_by_all_workers(found: dict[str, Any]) -> None:
    assert found["whole"]["blocks"] == CHUNKS
    assert found["whole"]["workers"] == 3


def test_a_killed_worker_costs_its_parts_only(found: dict[str, Any]) -> None:
    assert found["killed"]["best"] == found["whole"]["best"]
    assert found["killed"]["blocks"] == CHUNKS + 1


def test_a_chunk_that_kills_again_and_again_is_given_up(found: dict[str, Any]) -> None:
    assert "3 Ray workers ended at chunk 5" in found["killed again and again"]["best"]


def test_a_lost_machine_costs_its_parts_only(found: dict[str, Any]) -> None:
    assert found["lost"]["best"] == found["whole"]["best"]
    assert CHUNKS < found["lost"]["blocks"] <= CHUNKS + 2, "one for each of its workers"
    assert found["afterwards"] == {"best": found["whole"]["best"], "blocks": CHUNKS, "workers": 1}


def test_without_ray_there_is_one_line(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    given = [str(work / "1000"), str(tmp_path / "run"), "--engine", "ray"]
    with pytest.raises(EngineError, match=r"Ray is not installed; `pip install clipcache\[ray\]`"):
        CliRunner().invoke(command, given, catch_exceptions=False)


def test_what_does_not_go_together_is_said(work: Path, tmp_path: Path) -> None:
    cache = EmbeddingCache.open(work / "1000")
    data = Dataset.load(cache)
    assert scored_by("inline", data, cache) is data
    with pytest.raises(EngineError, match="leave out --device cuda"):
        scored_by("ray", data, cache, "cuda")
    with pytest.raises(EngineError, match="no engine 'dask' scores; there are: inline, ray"):
        scored_by("dask", data, cache)
    given = [str(cache.path), str(tmp_path), "--engine", "ray", "--finetune", "fresh"]
    refused = CliRunner().invoke(command, given)
    assert refused.exit_code == 2
    assert "leave out --engine" in refused.output
