"""`clipcache compare`: options become a plan, a plan becomes a folder and a table."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from unittest.mock import Mock, patch

import pytest
from click.testing import CliRunner

from clipcache.cache.reader import EmbeddingCache
from clipcache.cli.compare import command
from clipcache.cli.main import clipcache
from clipcache.cli.output import print_comparison
from clipcache.comparison.analysis import Analysis
from clipcache.comparison.choices import PRESETS, plan_of
from clipcache.comparison.plan import Arm, Plan
from clipcache.comparison.results import Results
from clipcache.comparison.summary import Summary
from clipcache.run_config import RunConfig
from clipcache.stats import Interval
from tests.cli.conftest import Cli
from tests.synthetic import write_cache

FAST = ("--head", "linear", "--init", "stratified:1", "--batch", 2, "--rounds", 2)


def planned(cli: Cli, tmp_path: Path, *options: object) -> Plan:
    """Return the plan that the options became."""
    with patch("clipcache.comparison.run.compare", autospec=True, side_effect=OSError) as called:
        assert cli("compare", "a.zarr", "b.zarr", tmp_path / "out", *options).code == 1
    caches, folder, plan, _, _ = called.call_args.args
    assert caches == (Path("a.zarr"), Path("b.zarr"))
    assert folder == tmp_path / "out"
    assert isinstance(plan, Plan)
    return plan


def test_a_comparison_leaves_a_page_and_every_number(
    cli: Cli, finished_cache: EmbeddingCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipcache.comparison.run.run_all", lambda f, x: enumerate(map(f, x)))
    out = tmp_path / "out"
    options = ("--strategy", "margin", "--strategy", "random", "--seeds", 2, "--json")
    result = cli("compare", finished_cache.path, out, *FAST, *options)
    assert result.code == 0, result.err
    assert "4 of 4 trials" in result.err
    found = json.loads(result.out)
    assert [arm["name"] for arm in found["plan"]["arms"]] == ["margin", "random"]
    assert found == json.loads((out / "results.json").read_text())
    assert {"report.html", "comparison.json", "trials", "plots", "rounds.csv"} <= {
        f.name for f in out.iterdir()
    }


def test_words_tell_top1_and_what_could_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    half, sure = Interval(0.5, 0.4, 0.625), Interval(0.75, float("nan"), float("nan"))
    row = Summary("cats", "margin", "all", "top1", half, half, sure, 8, 12.0, 8, 12, 0.5, 9.75)
    rows = (
        row,
        replace(row, arm="random", final=sure, labels_to_target=float("inf")),
        replace(row, metric="ece", arm="not shown"),
        replace(row, evaluation="200", arm="not shown"),
    )
    print_comparison(Analysis(("Margin beat random.",), rows, ()), Path("out/report.html"))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "margin 50.0 (40.0 to 62.5) 75.0 10" in lines
    assert "random 75.0 75.0 never" in lines
    assert lines[-2:] == ["Margin beat random.", "report: out/report.html"]
    assert not any("not shown" in line or "cats" in line for line in lines)
    several = Analysis((), (row, replace(row, cache="dogs")), ())
    print_comparison(several, Path("out/report.html"))
    told = capsys.readouterr().out
    assert "cats" in told
    assert "dogs" in told


def test_options_arrive_as_they_were_given(cli: Cli, tmp_path: Path) -> None:
    options = "--strategy entropy --head linear --head auto --pool 30 --pool full --init random:4 "
    options += "--batch 2 --rounds 1 --seeds 5 --eval-size 3 --eval-size all --train-on latest "
    options += "--head-start continue --stop gain --label-noise 1 --traditional --target 0.8"
    plan = planned(cli, tmp_path, *options.split(), "--baseline", "traditional, auto")
    same = {"init": "random:4", "batch": 2, "rounds": 1, "train_on": "latest", "stop": "gain"}
    same |= {"head_start": "continue", "label_noise": 1.0}
    arms = [
        Arm(f"entropy, {head}, {words}", RunConfig("entropy", head, pool, **same))
        for head in ("linear", "auto")
        for pool, words in ((30, "30 images"), (None, "full pool"))
    ]
    arms += [
        Arm(f"traditional, {head}", RunConfig("random", head, **same), traditional=True)
        for head in ("linear", "auto")
    ]
    assert plan == Plan(tuple(arms), "traditional, auto", 5, (3, None), 0.8)


def test_without_options_the_recipes_are_compared(cli: Cli, tmp_path: Path) -> None:
    assert planned(cli, tmp_path) == plan_of({}, "options")
    assert planned(cli, tmp_path, "--seeds", 3) == plan_of({"seeds": 3}, "options")


def test_the_traditional_arm_joins_the_recipes(cli: Cli, tmp_path: Path) -> None:
    found = planned(cli, tmp_path, "--traditional")
    assert found.arms[:-1] == plan_of({}, "options").arms
    assert found.arms[-1].traditional
    help_text = " ".join(CliRunner().invoke(clipcache, ["compare", "--help"]).output.split())
    assert "make a grid, which replaces these three arms" in help_text


def test_presets_and_plan_files_may_have_other_seeds(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text("strategies = ['margin']\nseeds = 7\n")
    report = planned(cli, tmp_path, "--preset", "report", "--seeds", 3, "--baseline", "random")
    assert report == plan_of({**PRESETS["report"], "seeds": 3, "baseline": "random"}, "options")
    mine = planned(cli, tmp_path, "--plan", tmp_path / "plan.toml", "--target", 0.5)
    assert (mine.seeds, mine.target, len(mine.arms)) == (7, 0.5, 1)


def test_every_preset_is_a_choice() -> None:
    (option,) = [o for o in command.params if o.name == "preset"]
    assert list(option.type.choices) == list(PRESETS)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--preset report --plan x.toml", "--preset and --plan exclude each other"),
        ("--preset report --strategy margin", "--preset says what is compared: beside it only"),
        ("--plan x.toml --batch 10", "--plan says what is compared: .* --seeds, --baseline"),
        ("--pool 0", "'0' is neither 'full' nor a whole number from 1"),
        ("--eval-size some", "'some' is neither 'all' nor a whole number"),
        ("--strategy magic", "'magic' is not one of"),
        ("--target 61", "61"),
    ],
)
def test_bad_usage_is_2_and_says_how(cli: Cli, options: str, words: str) -> None:
    result = cli("compare", "a", "b", *options.split())
    assert result.code == 2
    assert result.err.startswith("Usage: ")
    lines = " ".join(result.err.split())
    assert re.search(words, lines), lines


def test_what_cannot_work_is_refused_in_one_line(
    cli: Cli, finished_cache: EmbeddingCache, tmp_path: Path
) -> None:
    (tmp_path / "plan.toml").write_text("colour = 3\n")
    for options, words in (
        ((*FAST, "--rounds", 900), "error: the arm 'default' cannot work on cache: 900 rounds"),
        (("--preset", "report", "--eval-size", 117), "117 are to be measured"),
        ((*FAST, "--eval-size", 117), "has 116 labelled test images, and 117 are to be measured"),
        ((*FAST, "--eval-size", 117), 'or all: --eval-size all, in a plan eval_sizes = ["all"]'),
        (("--preset", "report"), "has 116 labelled test images, and 200 are to be measured"),
        ((*FAST, "--pool", 457), "the arm 'default' would score the whole pool of cache in every "),
        (
            (*FAST, "--pool", 457),
            "round: 457 images are to be scored, and 457 are left after its start; give ",
        ),
        (("--baseline", "mine"), "error: no arm is called 'mine'; there are: defaults"),
        (("--plan", tmp_path / "plan.toml"), "unknown key 'colour'; known: strategies"),
        (("--plan", tmp_path / "none.toml"), "none.toml cannot be read"),
    ):
        result = cli("compare", finished_cache.path, tmp_path / "out", *options)
        assert result.code == 1
        assert words in result.err
        assert result.err.count("\n") == 1, result.err
        assert not (tmp_path / "out").exists()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> str:
    """What a comparison says that has refused nothing, as no trial is made here."""
    stop = Mock(side_effect=OSError("it began"))
    monkeypatch.setattr("clipcache.comparison.run.run_all", stop)
    return "error: it began\n"


def test_the_way_out_that_a_small_pool_is_told_works(cli: Cli, tmp_path: Path, begun: str) -> None:
    cache, out = write_cache(tmp_path / "cache", 300).path, tmp_path / "out"
    line = cli("compare", cache, out, "--rounds", 2)
    assert line.code == 1
    assert "the arm 'margin of 300, linear' would score the whole pool" in line.err
    assert 'give fewer, or all: --pool full, in a plan pools = ["full"]' in line.err
    assert not out.exists()
    assert cli("compare", cache, out, "--rounds", 2, "--pool", "full").err.endswith(begun)


def test_a_sample_just_below_what_is_left_is_one(
    cli: Cli, finished_cache: EmbeddingCache, tmp_path: Path, begun: str
) -> None:
    (tmp_path / "plan.toml").write_text(
        "rounds = 1\nbatch = 2\n"  # of a pool of 465
        "[[arm]]\nname = 'sampled'\nhead = 'linear'\ninit = 'random:8'\nsubsample = 456\n"
        "[[arm]]\nname = 'none'\ninit = 'random:8'\nsubsample = 999\ntraditional = true\n"
    )
    plan = ("--plan", tmp_path / "plan.toml")
    result = cli("compare", finished_cache.path, tmp_path / "out", *plan)
    assert result.err.endswith(begun), result.err


def test_arms_without_a_choice_have_a_page_without_a_map(
    cli: Cli, finished_cache: EmbeddingCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipcache.comparison.run.run_all", lambda f, x: enumerate(map(f, x)))
    (tmp_path / "plan.toml").write_text(
        "seeds = 1\nrounds = 1\n"
        "[[arm]]\nname = 'one'\nhead = 'linear'\ninit = 'stratified:1'\ntraditional = true\n"
    )
    out = tmp_path / "out"
    result = cli("compare", finished_cache.path, out, "--plan", tmp_path / "plan.toml")
    assert result.code == 0, result.err
    assert list((out / "plots").glob("*calibration.png"))
    assert not list((out / "plots").glob("*map*"))


def test_a_folder_in_which_another_process_works(
    cli: Cli, finished_cache: EmbeddingCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    words: list[str] = []

    def meanwhile(results: Results, folder: Path) -> NoReturn:
        words.append(cli("compare", finished_cache.path, out, *FAST).err)
        raise OSError("the disk is full")

    monkeypatch.setattr("clipcache.comparison.run.run_all", lambda f, x: enumerate(map(f, x)))
    monkeypatch.setattr("clipcache.report.comparison.write_report", meanwhile)
    few = ("--strategy", "margin", "--seeds", 1)
    assert cli("compare", finished_cache.path, out, *FAST, *few).code == 1
    expected = f"error: another process is comparing in {out}; wait for it, or stop it and "
    assert words == [f"{expected}run this again\n"]


def test_ctrl_c_says_how_to_go_on(finished_cache: EmbeddingCache, tmp_path: Path) -> None:
    program = [
        sys.executable,
        "-m",
        "clipcache.cli.main",
        "compare",
        finished_cache.path,
        tmp_path / "out",
    ]
    options = map(str, (*FAST, "--strategy", "margin", "--rounds", 5, "--seeds", 200))
    process = subprocess.Popen(
        [*map(str, program), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    trials = tmp_path / "out" / "trials"
    while len(list(trials.glob("*.json"))) < 20:  # all processes are at work by then
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "of 200 trials are kept; run the same command again to go on" in err
    assert "Traceback" not in err
