"""Chunks that are done by a real Ray cluster of two nodes, one of which is killed."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcache.embed import EmbedOptions, embed
from clipcache.encoders.base import Encoder
from clipcache.encoders.options import EncoderOptions
from clipcache.engines import ray
from clipcache.engines.choose import make_engine
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


def test_workers_have_the_processors_of_their_gpu_where_the_cluster_has_some(
    found: dict[str, Any],
) -> None:
    assert found["beside GPUs"] == ["1 processors and 0 GPU", "3 processors and 1 GPU"]


def test_the_device_says_whether_workers_ask_for_a_gpu() -> None:
    """Not what this machine has, for they are on others."""
    for device, gpus in (("cpu", 0), ("auto", 1), ("cuda", 1)):
        engine = make_engine("ray", EncoderOptions("clipcache-tiny", device=device), None)
        assert isinstance(engine, Ray)
        assert engine.gpus == gpus


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
