import json
from pathlib import Path
from unittest.mock import patch

from clipcache.errors import RunError
from clipcache.finetune.finetune import FinetuneOptions
from clipcache.finetune.tower import Tune
from clipcache.finetune.tune import TuneOptions
from clipcache.run_config import RunConfig
from tests.cli.conftest import Cli
from tests.cli.test_errors import refused
from tests.pictures import tree

FAST = ("--init", "stratified:2", "--batch", 3, "--rounds", 2)


def test_a_run_is_replayed_to_its_end(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    result = cli("loop", embedded, tmp_path / "run", *FAST, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert [r["labels"] for r in found["rounds"]] == [4, 7, 10]
    assert all(0 <= r["top1"] <= r["top5"] <= 1 for r in found["rounds"])
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")
    again = json.loads(cli("loop", embedded, tmp_path / "run", *FAST, "--json").out)
    assert again["rounds"] == found["rounds"]


def test_words_name_the_curve(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    result = cli("loop", embedded, tmp_path / "run", *FAST, "--strategy", "random")
    assert result.code == 0
    assert "top-1 %" in result.out
    assert result.out.strip().endswith("curve.png")
    assert "stopped: all 2 rounds are done" in result.out


def test_a_run_says_why_it_stopped(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    options = ("--rounds", 5, "--batch", 1, "--stop", "agreement:1,uncertainty:1")
    result = cli("loop", embedded, tmp_path / "run", *options)
    assert "stopped: the head is sure: uncertainty" in result.out
    told = json.loads(cli("loop", embedded, tmp_path / "run", *options, "--json").out)
    assert told["stopped"].startswith("the head is sure")
    assert len(told["rounds"]) == 1


def test_the_cache_is_only_read(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    before = tree(embedded)
    assert cli("loop", embedded, tmp_path / "run", *FAST).code == 0
    assert tree(embedded) == before


def test_options_arrive_as_they_were_given(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    options = "--strategy entropy --head zero_shot --subsample 9 --init random:4 --batch 2"
    more = "--rounds 1 --seed 5 --eval-size 3 --train-on latest --head-start continue --stop gain"
    with patch("clipcache.loop.replay", autospec=True, return_value=[]) as called:
        cli("loop", embedded, tmp_path / "run", *options.split(), *more.split(), "--label-noise", 1)
    (run,) = called.call_args.args
    assert run.config == RunConfig(
        "entropy", "zero_shot", 9, "random:4", 2, 1, 5, 3, "latest", "continue", 1.0, "gain"
    )


def test_an_encoder_is_tuned_in_each_round(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    images = ("--images", embedded.parent / "photos")
    options = ("--init", "stratified:1", "--batch", 1, "--rounds", 1, "--finetune", "fresh")
    few = ("--tune", "blocks:1")
    result = cli("loop", embedded, tmp_path / "run", *options, *images, *few, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert [r["labels"] for r in found["rounds"]] == [2, 3]
    assert [s["round"] for s in found["finetune"]] == [0, 1]
    again = cli("loop", embedded, tmp_path / "run", *options, *few)
    assert again.code == 0, again.err
    assert "round  train s  embed s" in again.out
    refused(cli("loop", embedded, tmp_path / "run", *options), "tune blocks:1, but .* tune all")
    predicted = cli("predict", tmp_path / "run", embedded)
    assert predicted.code == 0
    assert predicted.err.startswith("the encoder of the cache answers, not those that `loop")
    assert predicted.err.count("\n") == 1
    plain = cli("loop", embedded, tmp_path / "run", *options[:-2])
    assert plain.code == 1
    assert "begun with --finetune" in plain.err


def test_how_to_tune_arrives_as_it_was_given(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    options = (
        "--finetune",
        "continue",
        "--images",
        "i",
        "--tune",
        "lora:4",
        "--pretrained",
        "w.pt",
    )
    begin = "clipcache.finetune.rounds.TunedRun.begin_tuned"
    with patch(begin, side_effect=RunError("seen")) as called:
        refused(cli("loop", embedded, tmp_path / "run", *options), "seen")
    how = FinetuneOptions(TuneOptions(Tune("lora", 4)), "w.pt")
    assert called.call_args.args[3:] == ("continue", "i", how)
