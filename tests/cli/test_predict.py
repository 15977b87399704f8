import csv
import json
from pathlib import Path
from unittest.mock import patch

import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.classifier import Calibration
from clipcache.images.source import SourceOptions
from clipcache.predict.predict import PredictOptions, PredictSummary
from tests.cli.conftest import Cli
from tests.cli.test_errors import refused
from tests.labelled_run import labelled_run
from tests.pictures import tree


@pytest.fixture
def run(tmp_path: Path, embedded: Path) -> Path:
    with labelled_run(tmp_path / "run", EmbeddingCache.open(embedded), rounds=1, init="random:9"):
        return tmp_path / "run"


def test_a_cache_is_predicted_into_the_run(cli: Cli, run: Path, embedded: Path) -> None:
    before = tree(embedded)
    result = cli("predict", run, embedded, "--at-least", 0.5)
    assert result.code == 0, result.err
    with (run / "predictions.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 34
    answered = sum(bool(line["answer"]) for line in lines)
    learned, counted, expected = result.out.splitlines()
    assert learned.startswith("the head has learned from ")
    assert "by cross-validation, cautiously" in learned
    assert f"{answered} of 34 images answered, {34 - answered} unsure, 0 cannot be" in counted
    assert expected.endswith("% of the answers")
    assert tree(embedded) == before


def test_photos_are_predicted_as_json(cli: Cli, run: Path, embedded: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    options = ("--out", out, "--device", "cpu", "--json")
    result = cli("predict", run, embedded.parent / "photos", *options)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["out"], found["images"], found["failed"]) == (str(out), 34, 0)
    assert 0 <= found["expected_accuracy"] <= 1
    assert found["calibration"]["held_out"] is False
    assert out.read_bytes().startswith(b"PAR1")


def test_options_arrive_as_they_were_given(cli: Cli, run: Path, tmp_path: Path) -> None:
    summary = PredictSummary(3, 0, 1, 2, None, 9, Calibration(1.5, 60, True))
    options = "--root r --path-column c --path-pattern p/{} --pretrained w.pt --device cpu"
    more = "--batch-size 3 --workers 4 --at-least 0.9"
    with patch("clipcache.predict.predict.predict", autospec=True, return_value=summary) as called:
        result = cli("predict", run, "t.csv", "--out", "a.csv", *options.split(), *more.split())
    opened, images, out, given, _ = called.call_args.args
    assert (opened.folder, images, out) == (run, Path("t.csv"), Path("a.csv"))
    source = SourceOptions(root=Path("r"), path_column="c", path_pattern="p/{}")
    assert given == PredictOptions(0.9, source, "w.pt", "cpu", 3, 4)
    assert "temperature 1.50, found on 60 held-out labels" in result.out
    assert "expected" not in result.out


def test_what_cannot_be_predicted_is_told_in_a_line(
    cli: Cli, run: Path, embedded: Path, tmp_path: Path
) -> None:
    refused(cli("predict", tmp_path / "no", embedded), "run.json cannot be read")
    refused(cli("predict", run, tmp_path / "nowhere"), "does not exist; give a folder")
    refused(cli("predict", run, embedded, "--out", tmp_path / "a.txt"), "neither a .csv nor")
    for share in (2, "nan"):
        assert cli("predict", run, embedded, "--at-least", share).code == 2
