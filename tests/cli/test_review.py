import json
from pathlib import Path

import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.taught import remember
from tests.cli.conftest import Cli
from tests.cli.test_errors import refused
from tests.labelled_run import labelled_run
from tests.synthetic import write_cache


@pytest.fixture
def run(tmp_path: Path, finished_cache: EmbeddingCache) -> Path:
    with labelled_run(tmp_path / "run", finished_cache, rounds=5):
        return tmp_path / "run"


def test_doubts_are_listed_as_a_table_and_as_json(cli: Cli, run: Path) -> None:
    result = cli("review", run, "--top", 4)
    assert result.code == 0, result.err
    head, *lines = result.out.splitlines()
    assert head.split("  ")[0].strip() == "row"
    found = json.loads(cli("review", run, "--top", 4, "--json").out)
    assert len(lines) == len(found) == 4
    for line, doubt in zip(lines, found, strict=True):
        for name in ("row", "key", "label", "instead"):
            assert str(doubt[name]) in line
        assert doubt["annotators"] == ["ann"]


def test_labels_that_the_encoder_has_learned_are_told(cli: Cli, tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache")
    with labelled_run(tmp_path / "run", cache) as run:
        taught = run.labelled()[0][:9]
    assert cli("review", tmp_path / "run").err == ""
    remember(cache.path, taught)
    for options in ((), ("--json",)):
        result = cli("review", tmp_path / "run", *options)
        assert result.code == 0
        assert result.err.startswith("the encoder was trained on 9 of the labels, so wrong ones")
        assert result.err.count("\n") == 1
    assert json.loads(result.out)


def test_nothing_to_doubt(cli: Cli, tmp_path: Path, finished_cache: EmbeddingCache) -> None:
    with labelled_run(tmp_path / "none", finished_cache, rounds=0) as run:
        run.record([run.propose()[0]], [1], annotator="ann", source="page")
    result = cli("review", tmp_path / "none")
    assert (result.code, result.out) == (0, "no label is doubted\n")


def test_no_labels_and_no_run_are_told_in_a_line(
    cli: Cli, tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    refused(cli("review", tmp_path / "no"), "run.json cannot be read")
    with labelled_run(tmp_path / "none", finished_cache, rounds=0):
        refused(cli("review", tmp_path / "none"), "label images first")
