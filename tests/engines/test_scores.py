"""Pools that are scored by a real Ray cluster of two nodes, some of whose workers are killed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from clipcache.cache.reader import EmbeddingCache
from clipcache.cli.loop import command
from clipcache.dataset import Dataset
from clipcache.engines.scores import _Worker, scored_by
from clipcache.errors import CacheDamagedError, EngineError
from tests.engines.questions import answers, batches

CHUNKS = 14


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


def test_people_are_asked_about_the_same_images(work: Path, found: dict[str, Any]) -> None:
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
    assert found["lost"]["blocks"] == CHUNKS + 2, "one for each of its workers"
    assert found["afterwards"] == {"best": found["whole"]["best"], "blocks": CHUNKS, "workers": 1}


def test_workers_must_find_the_same_vectors_and_may_find_more(
    work: Path, found: dict[str, Any]
) -> None:
    assert found["grown"][:40] == found["large"]["margin 40"][0]
    assert f"a Ray worker finds another cache at {work / 'other'}" in found["other"]


def test_what_workers_have_not_installed_is_said(found: dict[str, Any]) -> None:
    why = "(ModuleNotFoundError: No module named 'vanished'); all machines need the same Python"
    assert f"a Ray worker failed {why}" in found["no head"]


def test_a_worker_is_ready_before_it_opens_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "clipcache.engines.scores.limit_threads", lambda threads: None
    )  # of this process
    (tmp_path / "zarr.json").write_text("damaged")
    worker = _Worker(tmp_path, 8, "")
    worker.ready()
    with pytest.raises(CacheDamagedError):
        worker.best(0, np.ones(1, dtype=np.uint8), [])


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
