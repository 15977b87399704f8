"""Runs that people label: begun, continued, refused."""

import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from clipcache.errors import CacheMissingError, EngineError, ImageError, RunError
from clipcache.people import HELD_OUT, images_place, only_desk, open_run, photos_of
from clipcache.run import Run
from clipcache.run_config import RunConfig
from tests.pictures import draw
from tests.synthetic import class_names, write_cache
from tests.unlabelled import write_unlabelled


def test_a_run_is_begun_once_and_goes_on_without_its_options(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr").path
    run = open_run(tmp_path / "run", cache, ("hat",), strategy="margin", batch=7)
    batch = run.propose()
    run.store.close()
    again = open_run(tmp_path / "run")
    assert again.names == (*class_names(8), "hat")
    assert again.config == run.config
    assert (again.config.strategy, again.config.batch) == ("margin", 7)
    assert again.propose().tolist() == batch.tolist()
    again.store.close()
    with pytest.raises(RunError, match="batch 9 instead of 7"):
        open_run(tmp_path / "run", batch=9)
    same = open_run(tmp_path / "run", cache, ("hat", "coat"), batch=7)
    assert same.names == (*class_names(8), "hat", "coat")
    same.store.close()


@pytest.mark.parametrize(("labelled", "held_out"), [(False, HELD_OUT), (True, 0)])
def test_images_are_held_out_where_there_is_nothing_to_measure_on(
    tmp_path: Path, labelled: bool, held_out: int
) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", known=lambda row: labelled and row % 5 == 0)
    run = open_run(tmp_path / "run", cache.path)
    assert run.config.held_out == len(run.held_out) == held_out
    run.store.close()
    other = open_run(tmp_path / "other", cache.path, held_out=3)
    assert len(other.held_out) == 3
    other.store.close()


def test_what_cannot_be_begun_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no run in .*; begin one with --cache"):
        open_run(tmp_path / "run")
    with pytest.raises(CacheMissingError):
        open_run(tmp_path / "run", tmp_path / "no.zarr")
    cache = write_cache(tmp_path / "c.zarr")
    Run.begin(tmp_path / "replayed", RunConfig(), cache).store.close()
    with pytest.raises(RunError, match="replays the labels of its cache; name another folder"):
        open_run(tmp_path / "replayed")


def test_who_scores_is_asked_for_each_time(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr").path
    with pytest.raises(EngineError, match="no engine 'dask' scores"):
        open_run(tmp_path / "run", cache, engine="dask")
    open_run(tmp_path / "run", cache).store.close()
    with pytest.raises(EngineError, match="no engine 'dask' scores"):
        open_run(tmp_path / "run", engine="dask")


def test_the_folder_of_the_images_is_remembered(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", write_unlabelled(tmp_path / "c.zarr").path)
    with pytest.raises(RunError, match="give --images"):
        photos_of(run)
    assert not (run.folder / "images-folder").exists()
    images = tmp_path / "bilder ü"
    images.mkdir()
    draw(3, (40, 30)).save(images / "000003.jpg")
    assert photos_of(run, images).jpeg(3, 20)[:2] == b"\xff\xd8"
    assert photos_of(run).jpeg(3, 20)[:2] == b"\xff\xd8"
    with pytest.raises(ImageError):
        photos_of(run).read(4)
    images.rename(tmp_path / "moved")
    with pytest.raises(
        RunError, match=r"nothing is at .*; give --images, where the images lie now"
    ):
        photos_of(run)
    assert photos_of(run, tmp_path / "moved").read(3)
    run.store.close()


def test_the_images_may_be_in_any_source(tmp_path: Path) -> None:
    keys = np.array(["a.tar/1.png", "a.tar/2.png"])
    run: Any = SimpleNamespace(folder=tmp_path / "run", cache=SimpleNamespace(keys=lambda: keys))
    run.folder.mkdir()
    draw(3, (40, 30)).save(tmp_path / "1.png")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "1.png", "1.png")
    for photos in (photos_of(run, tmp_path / "a.tar"), photos_of(run)):
        assert photos.read(0) == (tmp_path / "1.png").read_bytes()
        with pytest.raises(ImageError, match="file not found"):
            photos.read(1)
    photos_of(run, "s3://bucket/a.tar")
    assert images_place(run.folder) == "s3://bucket/a.tar"


def test_a_run_has_one_desk_at_a_time(tmp_path: Path) -> None:
    with (
        only_desk(tmp_path),
        pytest.raises(RunError, match=r"another `clipcache label` has .* open"),
        only_desk(tmp_path),
    ):
        pass
    with only_desk(tmp_path):
        pass
