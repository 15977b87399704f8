"""What every format promises; a new file in clipcache/export is tested by existing."""

from pathlib import Path

import pytest

from clipcache import registry
from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import RunError, UnknownNameError
from clipcache.export.base import ExportOptions, export_as
from tests.export.conftest import Labelled
from tests.labelled_run import labelled_run

OPTIONS = ExportOptions(image_url="https://example.org/{key}")
FORMATS = [name for name in registry.names("export") if name != "onnx"]  # it needs an encoder


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_run_gives_the_same_bytes(form: str, labelled: Labelled, tmp_path: Path) -> None:
    out = tmp_path / "out.x"
    said = export_as(form, labelled.run, out, OPTIONS)
    assert said
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert "out.x" in first
    assert export_as(form, labelled.run, out, OPTIONS) == said
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


@pytest.mark.parametrize("form", FORMATS)
def test_without_labels_there_is_nothing_to_write(
    form: str, tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    with labelled_run(tmp_path / "run", finished_cache, rounds=0, eval_size=1) as run:
        if form in ("csv", "json", "coco", "label_studio"):
            export_as(form, run, tmp_path / "a.x", OPTIONS)  # the label that is measured on
        else:
            with pytest.raises(RunError, match="label images first"):
                export_as(form, run, tmp_path / "a.x", OPTIONS)
            assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("form", [*FORMATS, "onnx"])
def test_a_folder_that_is_not_there_is_told_first(
    form: str, labelled: Labelled, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"no folder .* to write a\.x to"):
        export_as(form, labelled.run, tmp_path / "no" / "a.x", OPTIONS)


def test_an_unknown_format_lists_the_others(labelled: Labelled, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no format called 'xml'; there are: coco, csv"):
        export_as("xml", labelled.run, tmp_path / "a.x")
