"""Chunks that are done by a real Ray cluster of two nodes, one of which is killed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcache.embed import EmbedOptions, embed
from clipcache.encoders.base import Encoder
from clipcache.engines import ray
from clipcache.engines.ray import Ray
from clipcache.engines.work import Task, Unit
from clipcache.errors import EncoderError, EngineError
from clipcache.images.folder import Folder
from tests.pictures import tree
from tests.real_encoder import tiny


def test_a_node_that_dies_costs_its_chunks_only(
    work: Path, found: dict[str, Any], tmp_path: Path
) -> None:
    embedded = found["embedded"]
    assert embedded["workers"] == 2
    assert embedded["killed"] in range(16, 110), "in the middle"
    assert embedded["done"] == 120
    options = EmbedOptions(batch_size=5, chunk_rows=8)
    embed(Folder(work / "photos"), tiny(), tmp_path / "w", options)
    assert tree(work / "embedded") == tree(tmp_path / "w")


def test_a_worker_is_ready_before_it_has_an_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Encoder:
        raise EncoderError("the weights cannot be fetched")

    monkeypatch.setattr(ray, "limit_threads", lambda threads: None)  # of this process
    (tmp_path / "zarr.json").touch()
    worker = ray._Actor(Task(tmp_path, Folder(tmp_path), 5, 1), fail)
    worker.ready()
    with pytest.raises(EncoderError):
        worker.do(Unit(0, np.arange(8)))


def test_without_ray_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match=r"Ray is not installed; `pip install clipcache\[ray\]`"):
        next(Ray(tiny).run(Task(tmp_path, Folder(tmp_path), 5, 1), []))
