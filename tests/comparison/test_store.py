"""The folder of a comparison keeps trials apart, whole, and only for what they are of."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcache.comparison.plan import Arm, Plan
from clipcache.comparison.store import TrialStore, begin, data_key, trial_key
from clipcache.comparison.trial import Task, Trial
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.run_folder import RunConfig
from clipcache.text import LabelText
from tests.pictures import tree

TRIAL = Trial(
    labels=(3, 5),
    seconds=(0.1 + 0.2, 1e-9),
    batches=((7, 1, 9), (2, 4)),
    measured={"all": {"top1": (0.1, 1 / 3)}, "30": {"top1": (0.0, 1.0)}},
    stopped="all 1 rounds are done",
)
TASK = Task(Path("a.zarr"), RunConfig(), False, (None, 200))


@pytest.fixture
def said() -> list[str]:
    return []


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
        trial_key("a", TASK),
        trial_key("b", TASK),
        trial_key("a", TASK._replace(traditional=True)),
        trial_key("a", TASK._replace(eval_sizes=(None,))),
        trial_key("a", TASK._replace(config=RunConfig(seed=1))),
        trial_key("a", TASK._replace(config=RunConfig(stop="gain"))),
    ]
    assert len(set(others)) == len(others)
    assert trial_key("a", TASK._replace(cache=Path("moved.zarr"))) == others[0]
    assert trial_key("a", TASK._replace(eval_sizes=(200, None))) == others[0]


def test_data_is_known_by_rows_names_and_text(dataset: Dataset) -> None:
    text = dataset.text
    assert text is not None
    turned = LabelText(text.names, text.templates, np.flip(text.vectors), text.logit_scale)
    others = [
        dataset,
        replace(dataset, fingerprint="0"),
        replace(dataset, names=(*dataset.names, "more")),
        replace(dataset, text=turned),
        replace(dataset, text=None),
    ]
    assert len({data_key(data) for data in others}) == len(others)
    assert data_key(replace(dataset)) == data_key(dataset)


MARGIN = Arm("margin", RunConfig("margin"))
RANDOM = Arm("random", RunConfig("random"))
PLAN = Plan((MARGIN, RANDOM), "random", seeds=3, eval_sizes=(None, 200))


def test_more_of_the_same_goes_on(tmp_path: Path) -> None:
    begin(tmp_path / "out", PLAN, {"photos": "1"})
    renamed = replace(MARGIN, name="mine")
    extra = Arm("traditional", RANDOM.config, traditional=True)
    for plan in (
        PLAN,
        replace(PLAN, seeds=5),
        replace(PLAN, seeds=5, arms=(renamed, RANDOM, extra), baseline="mine", target=0.5),
        replace(PLAN, seeds=5, arms=(MARGIN, RANDOM, extra), eval_sizes=(200, None)),
    ):
        begin(tmp_path / "out", plan, {"photos": "1"})
    begin(tmp_path / "out", replace(PLAN, seeds=5, arms=plan.arms), {"photos": "1", "more": "2"})
    with pytest.raises(RunError, match="otherwise: with the cache more"):
        begin(tmp_path / "out", plan, {"photos": "1"})


LESS = {
    "3 seeds instead of 2": replace(PLAN, seeds=2),
    "evaluation on 200, all instead of all": replace(PLAN, eval_sizes=(None,)),
    "with the arm 'margin'; give": Plan((RANDOM,), "random", 3, (None, 200)),
    "with the arm 'margin', batch 10 instead of 9": replace(
        PLAN, arms=(replace(MARGIN, config=RunConfig("margin", batch=9)), RANDOM)
    ),
    "with the arm 'random'": replace(PLAN, arms=(MARGIN, replace(RANDOM, traditional=True))),
}


@pytest.mark.parametrize("words", LESS)
def test_a_comparison_that_lost_something_is_refused(tmp_path: Path, words: str) -> None:
    begin(tmp_path / "out", PLAN, {"photos": "1"})
    before = tree(tmp_path)
    with pytest.raises(RunError, match=f"out was begun otherwise: .*{words}.* another folder"):
        begin(tmp_path / "out", LESS[words], {"photos": "1"})
    assert tree(tmp_path) == before


def test_other_data_is_refused(tmp_path: Path) -> None:
    begin(tmp_path / "out", PLAN, {"photos": "1"})
    with pytest.raises(RunError, match="with other images, labels or class names in photos"):
        begin(tmp_path / "out", PLAN, {"photos": "2"})
    with pytest.raises(RunError, match="begun otherwise: with the cache photos"):
        begin(tmp_path / "out", PLAN, {"others": "1"})


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path, tmp_path / "file"):
        with pytest.raises(RunError, match="exists and is not a comparison; name another folder"):
            begin(folder, PLAN, {"photos": "1"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "comparison.json.partial").write_text("{")
    begin(tmp_path / "out", PLAN, {"photos": "1"})
    for text in ("{", "[]", "{}"):
        (tmp_path / "out" / "comparison.json").write_text(text)
        with pytest.raises(RunError, match=r"comparison\.json cannot be read"):
            begin(tmp_path / "out", PLAN, {"photos": "1"})


def test_a_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    begin(tmp_path / "out", PLAN, {"photos": "1"})
    path = tmp_path / "out" / "comparison.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(RunError, match=r"has comparison format 2, this version .* knows format 1"):
        begin(tmp_path / "out", PLAN, {"photos": "1"})
