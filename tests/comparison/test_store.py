"""The folder of a comparison keeps trials apart, whole, and only for what they are of."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clipcache.comparison.plan import Arm, Plan
from clipcache.comparison.store import TrialStore, alone, begin, trial_key
from clipcache.comparison.trial import Task, Trial
from clipcache.errors import RunError
from clipcache.run_config import RunConfig
from tests.pictures import tree

TRIAL = Trial(
    labels=(3, 5),
    seconds=(0.1 + 0.2, 1e-9),
    batches=((7, 1, 9), (2, 4)),
    measured={"all": {"top1": (0.1, 1 / 3)}, "30": {"top1": (0.0, 1.0)}},
    stopped="the only round is done",
)
TASK = Task(Path("a.zarr"), "a", RunConfig(), False, (None, 200))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


@pytest.fixture
def store(tmp_path: Path, said: list[str]) -> TrialStore:
    return TrialStore(tmp_path, said.append)


def test_a_trial_comes_back_as_it_was(store: TrialStore, tmp_path: Path, said: list[str]) -> None:
    assert store.find("key") is None
    store.add("key", TRIAL)
    assert store.find("key") == TRIAL
    assert store.find("other") is None
    assert [f.name for f in (tmp_path / "trials").iterdir()] == ["key.json"]
    assert said == []


def test_a_damaged_trial_is_as_good_as_none_and_named(
    store: TrialStore, tmp_path: Path, said: list[str]
) -> None:
    store.add("key", TRIAL)
    path = tmp_path / "trials" / "key.json"
    whole = path.read_bytes()
    broken = [whole[:-9], whole.replace(b"0.1", b"0.2"), b"", b"[]", b"\xff", b'{"trial": {}}']
    for number, content in enumerate(broken, 1):
        path.write_bytes(content)
        assert store.find("key") is None
        assert len(said) == number
        assert "key.json is damaged" in said[-1]
    store.add("key", TRIAL)
    assert store.find("key") == TRIAL


def test_the_key_is_of_everything_that_decides_and_of_nothing_else() -> None:
    others = [
        trial_key(TASK),
        trial_key(TASK._replace(data="b")),
        trial_key(TASK._replace(traditional=True)),
        trial_key(TASK._replace(eval_sizes=(None,))),
        trial_key(TASK._replace(config=RunConfig(seed=1))),
        trial_key(TASK._replace(config=RunConfig(stop="gain"))),
    ]
    assert len(set(others)) == len(others)
    assert trial_key(TASK._replace(cache=Path("moved.zarr"))) == others[0]
    assert trial_key(TASK._replace(eval_sizes=(200, None))) == others[0]


MARGIN = Arm("margin", RunConfig("margin"))
RANDOM = Arm("random", RunConfig("random"))
PLAN = Plan((MARGIN, RANDOM), "random", seeds=3, eval_sizes=(None, 200))


def test_more_of_the_same_goes_on(out: Path) -> None:
    begin(out, PLAN, {"photos": "1"})
    renamed = replace(MARGIN, name="mine")
    extra = Arm("traditional", RANDOM.config, traditional=True)
    for plan in (
        PLAN,
        replace(PLAN, seeds=5),
        replace(PLAN, seeds=5, arms=(renamed, RANDOM, extra), baseline="mine", target=0.5),
        replace(PLAN, seeds=5, arms=(MARGIN, RANDOM, extra), eval_sizes=(200, None)),
    ):
        begin(out, plan, {"photos": "1"})
    begin(out, replace(PLAN, seeds=5, arms=plan.arms), {"photos": "1", "more": "2"})
    with pytest.raises(RunError, match="otherwise: with the cache more"):
        begin(out, plan, {"photos": "1"})


LESS = {
    "3 seeds instead of 2": replace(PLAN, seeds=2),
    "evaluation on 200, all instead of all (sizes have to stay)": replace(PLAN, eval_sizes=(None,)),
    "evaluation on 200, all instead of 20, 200, all (sizes have to stay)": replace(
        PLAN, eval_sizes=(None, 200, 20)
    ),
    "with the arm 'margin'": Plan((RANDOM,), "random", 3, (None, 200)),
    "with the arm 'margin', batch 10 instead of 9": replace(
        PLAN, arms=(replace(MARGIN, config=RunConfig("margin", batch=9)), RANDOM)
    ),
    "with the arm 'random'": replace(PLAN, arms=(MARGIN, replace(RANDOM, traditional=True))),
}


@pytest.mark.parametrize("words", LESS)
def test_a_comparison_that_lost_something_is_refused(out: Path, words: str) -> None:
    begin(out, PLAN, {"photos": "1"})
    before = tree(out)
    with pytest.raises(
        RunError,
        match=f"out was begun otherwise: .*{re.escape(words)}.*; give the same and perhaps more "
        "seeds, arms or caches, or another folder",
    ):
        begin(out, LESS[words], {"photos": "1"})
    assert tree(out) == before


def test_other_data_is_refused(out: Path) -> None:
    begin(out, PLAN, {"photos": "1"})
    with pytest.raises(RunError, match="with other images, labels or class names in photos"):
        begin(out, PLAN, {"photos": "2"})
    with pytest.raises(RunError, match="begun otherwise: with the cache photos"):
        begin(out, PLAN, {"others": "1"})


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    for folder in (tmp_path, tmp_path / "file"):
        with (
            pytest.raises(RunError, match="exists and is not a comparison; name another folder"),
            alone(folder),
        ):
            pass
    assert tree(tmp_path) == before
    assert not (tmp_path / ".lock").exists()


def test_what_a_kill_left_before_the_beginning_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "comparison.json.partial").write_text("{")
    for _ in range(2):  # the second time there is a lock, too
        with alone(tmp_path):
            pass
    begin(tmp_path, PLAN, {"photos": "1"})
    with alone(tmp_path):
        pass


def test_a_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", "{}"):
        (tmp_path / "comparison.json").write_text(text)
        with pytest.raises(RunError, match=r"comparison\.json cannot be read"):
            begin(tmp_path, PLAN, {"photos": "1"})


HOLD = """
import sys
from pathlib import Path
from clipcache.comparison.store import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunError, match=r"another process is comparing in .*out; wait"),
            alone(tmp_path / "out"),
        ):
            pass
        holder.kill()  # the lock dies with its holder
    with alone(tmp_path / "out"):
        pass


def test_a_folder_of_a_newer_version_is_refused(out: Path) -> None:
    begin(out, PLAN, {"photos": "1"})
    path = out / "comparison.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(RunError, match=r"has comparison format 2, this version .* knows format 1"):
        begin(out, PLAN, {"photos": "1"})
