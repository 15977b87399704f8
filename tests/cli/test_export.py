import json
from pathlib import Path
from unittest.mock import patch

import pytest

from clipcache import registry
from clipcache.cache.reader import EmbeddingCache
from clipcache.cli.export import FORMATS
from clipcache.export.base import ExportOptions
from tests.cli.conftest import Cli
from tests.cli.test_errors import refused
from tests.labelled_run import labelled_run


@pytest.fixture
def run(tmp_path: Path, embedded: Path) -> Path:
    with labelled_run(tmp_path / "run", EmbeddingCache.open(embedded), rounds=1, init="random:9"):
        return tmp_path / "run"


def test_every_format_is_a_choice() -> None:
    assert sorted(FORMATS.values()) == sorted(registry.names("export"))
    assert set(FORMATS) == {"csv", "json", "coco", "label-studio", "head", "onnx"}


@pytest.mark.parametrize("form", ["csv", "json", "coco", "label-studio", "head"])
def test_a_file_is_written_and_told_of(cli: Cli, run: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / "out.x"
    result = cli("export", run, "--format", form, "--out", out, "--image-url", "http://a/{key}")
    assert result.code == 0, result.err
    assert result.out.startswith(f"{out}: ")
    assert out.stat().st_size > 100
    again = cli(
        "export", run, "--format", form, "--out", out, "--image-url", "http://a/{key}", "--json"
    )
    assert json.loads(again.out)["format"] == form


def test_options_arrive_as_they_were_given(cli: Cli, run: Path) -> None:
    options = "--image-url u/{key} --images photos --pretrained w.pt"
    with patch("clipcache.export.base.export_as", autospec=True, return_value="done") as called:
        result = cli("export", run, "--format", "label-studio", "--out", "a.x", *options.split())
    form, opened, out, given = called.call_args.args
    assert (form, opened.folder, out) == ("label_studio", run, Path("a.x"))
    assert given == ExportOptions("u/{key}", Path("photos"), "w.pt")
    assert result.out == "a.x: done\n"


def test_what_cannot_be_written_is_told_in_a_line(cli: Cli, run: Path, tmp_path: Path) -> None:
    options = ("--out", tmp_path / "a.x", "--format")
    refused(cli("export", tmp_path / "no", *options, "csv"), "run.json cannot be read")
    refused(cli("export", run, *options, "label-studio"), "--image-url 'https://")
    refused(cli("export", run, "--out", tmp_path / "no/a", "--format", "csv"), "there is no folder")
    assert cli("export", run, *options, "xml").code == 2
    assert cli("export", run, "--format", "csv").code == 2
