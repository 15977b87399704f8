import json
import re
from pathlib import Path
from unittest.mock import patch

import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.cli.main import clipcache
from clipcache.finetune.finetune import FinetuneOptions
from clipcache.finetune.tower import Tune
from clipcache.finetune.tune import TuneOptions
from tests.cli.conftest import Cli
from tests.cli.test_errors import refused
from tests.labelled_run import labelled_run

FAST = ("--epochs", 2, "--batch-size", 8, "--device", "cpu")


@pytest.fixture
def run(tmp_path: Path, embedded: Path) -> Path:
    with labelled_run(tmp_path / "run", EmbeddingCache.open(embedded), rounds=1, init="random:12"):
        return tmp_path / "run"


def test_a_checkpoint_and_a_cache_are_made(
    cli: Cli, run: Path, embedded: Path, tmp_path: Path
) -> None:
    out, cache = tmp_path / "tuned.safetensors", tmp_path / "tuned.zarr"
    options = ("--images", embedded.parent / "photos", "--out", out, *FAST)
    result = cli("finetune", run, *options, "--cache", cache, "--tune", "blocks:1")
    assert result.code == 0, result.err
    assert "blocks:1 of clipcache-tiny: " in result.out
    assert "too few labels to hold some back" in result.out
    assert "the same head, new vectors" in result.out
    assert "seconds: load " in result.out
    assert EmbeddingCache.open(cache).identity.pretrained == out.name
    photos = embedded.parent / "photos"
    again = cli(
        "embed", photos, tmp_path / "again.zarr", "--model", "clipcache-tiny", "--pretrained", out,
        "--device", "cpu",
    )  # fmt: skip
    assert again.code == 0, again.err
    opened = [EmbeddingCache.open(path).identity for path in (cache, tmp_path / "again.zarr")]
    assert opened[0] == opened[1] != EmbeddingCache.open(embedded).identity
    found = cli("search", cache, "red coat", "--pretrained", out, "--device", "cpu")
    assert found.code == 0, found.err


def test_json_has_it_all_and_the_folder_is_remembered(
    cli: Cli, run: Path, embedded: Path, tmp_path: Path
) -> None:
    out = tmp_path / "tuned.safetensors"
    first = cli("finetune", run, "--images", embedded.parent / "photos", "--out", out, *FAST)
    assert first.code == 0, first.err
    out = tmp_path / "again.safetensors"
    result = cli("finetune", run, "--out", out, *FAST, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["out"], found["cache"], found["after"]) == (str(out), None, None)
    assert found["tuning"]["tune"] == "all"
    assert len(found["tuning"]["trained"]["losses"]) == 2
    assert 0 <= found["own"]["top1"] <= found["own"]["top5"] <= 1


def test_vectors_that_became_worse_are_told(
    cli: Cli, run: Path, embedded: Path, tmp_path: Path
) -> None:
    told = "on these images the vectors as they were are better: keep the old cache"
    for name, options in (("ruined", ("--rate", 1, "--wise", 1)), ("same", ("--wise", 0))):
        out, cache = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.zarr"
        places = ("--images", embedded.parent / "photos", "--out", out, "--cache", cache)
        result = cli("finetune", run, *places, *FAST, *options)
        assert result.code == 0, result.err
        before, after = (
            float(re.search(rf"{line} +([\d.]+)", result.out)[1])  # type: ignore[index]
            for line in ("the run's head, vectors as they were", "the same head, new vectors")
        )
        assert (after < before) == (name == "ruined")
        assert (told in result.out) == (name == "ruined")


def test_options_arrive_as_they_were_given(cli: Cli, run: Path, tmp_path: Path) -> None:
    words = "--tune lora:4 --epochs 3 --batch-size 5 --rate 0.1 --wise 0.5 --seed 7 --workers 9"
    more = ("--pretrained", "w.pt", "--device", "cpu", "--cache", "c", "--images", "i")
    arguments = ["finetune", str(run), "--out", "o", *words.split(), *more]
    with (
        patch("clipcache.finetune.finetune.finetune", side_effect=ArithmeticError) as called,
        pytest.raises(ArithmeticError),
    ):
        clipcache.main(arguments, standalone_mode=False)
    opened, images, out, options = called.call_args.args
    assert (opened.folder, images, out) == (run, "i", Path("o"))
    how = TuneOptions(Tune("lora", 4), 3, 5, 0.1, 0.5, 7, 9)
    assert options == FinetuneOptions(how, "w.pt", "cpu")
    assert called.call_args.kwargs["cache"] == Path("c")


def test_what_cannot_be_tuned_is_told_in_a_line(
    cli: Cli, run: Path, embedded: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "t.safetensors", *FAST)
    photos = ("--images", embedded.parent / "photos")
    refused(cli("finetune", tmp_path / "no", *photos, *out), "run.json cannot be read")
    refused(cli("finetune", run, *out), "give --images")
    refused(cli("finetune", run, *photos, *out, "--tune", "half"), "--tune half is unknown")
    refused(cli("finetune", run, *photos, *out, "--tune", "blocks:99"), "has 6 blocks; give fewer")
    refused(cli("finetune", run, "--images", tmp_path, *out), "none of the .* can be used")
    refused(cli("finetune", run, *photos, *out, "--cache", embedded), "name another --cache")
    assert cli("finetune", run, *photos, *out, "--wise", 2).code == 2
    assert not (tmp_path / "t.safetensors").exists()
