"""A comparison is its trials, each made once."""

import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.comparison import run as module
from clipcache.comparison.grid import Grid
from clipcache.comparison.plan import Arm, Plan
from clipcache.comparison.results import Results
from clipcache.comparison.run import compare
from clipcache.comparison.store import TrialStore
from clipcache.comparison.trial import Task, Trial, data_key, run_trial
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.run_config import RunConfig
from clipcache.text import LabelText
from tests.pictures import tree
from tests.standstill import killed_before
from tests.synthetic import CHUNK_ROWS, identity, text, write_cache

COMMON = RunConfig(batch=4, rounds=2)
GRID = Grid(("margin", "random"), ("linear",), (None, 40), ("stratified:1",), traditional=True)
PLAN = Plan(GRID.arms(COMMON), "random", seeds=2, eval_sizes=(30, None))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The trials that were made, in this process and one after the other."""
    tasks: list[Task] = []

    def one_by_one(
        work: Callable[[Task], Trial], todo: Sequence[Task]
    ) -> Iterator[tuple[int, Trial]]:
        for place, task in reversed(list(enumerate(todo))):
            tasks.append(task)
            yield place, work(task)

    monkeypatch.setattr(module, "run_all", one_by_one)
    return tasks


def timeless(trial: Trial) -> Trial:
    return replace(trial, seconds=())


def finished(*arguments: Any, **options: Any) -> Results:
    """Return what `compare` yields."""
    with compare(*arguments, **options) as results:
        return results


def key_of(cache: EmbeddingCache) -> str:
    return data_key(Dataset.load(cache))


def test_results_are_the_trials_of_the_plan(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    heard: list[tuple[int, int]] = []
    path = finished_cache.path
    results = finished([path], tmp_path / "out", PLAN, lambda *told: heard.append(told))
    assert results.plan == PLAN
    (cache,) = results.caches
    assert cache.name == "cache"
    assert list(cache.trials) == [arm.name for arm in PLAN.arms]
    for arm in PLAN.arms:
        for seed, trial in enumerate(cache.trials[arm.name]):
            config = replace(arm.config, seed=seed)
            task = Task(path, key_of(finished_cache), config, arm.traditional, PLAN.eval_sizes)
            assert timeless(trial) == timeless(run_trial(task))
    starts = {tuple(t.batches[0]) for trials in cache.trials.values() for t in trials}
    assert len(starts) == PLAN.seeds  # the same for all arms
    labels = finished_cache.labels()
    for split, number in (("pool", cache.pool), ("test", cache.test)):
        assert number == (labels[finished_cache.rows(split)] >= 0).sum()
    assert sum(cache.pool_counts) == cache.pool
    assert len(cache.pool_counts) == len(cache.classes) == 8
    assert heard == [(done, 8) for done in range(9)]
    assert set(cache.map.picks) == {"margin, full pool", "margin, 40 images", "random"}
    assert all(len(places) == 8 for places in cache.map.picks.values())


def test_what_is_finished_is_not_made_again(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    few = Plan(PLAN.arms[:2], PLAN.arms[0].name, seeds=1)
    finished([finished_cache.path], tmp_path / "out", few)
    before = tree(tmp_path / "out" / "trials")
    assert len(made) == 2
    made.clear()
    more = [replace(arm, name=f"arm {i}") for i, arm in enumerate(PLAN.arms)]
    again = Plan((more[2], more[0], more[1]), "arm 0", seeds=2)
    heard: list[tuple[int, int]] = []
    finished([finished_cache.path], tmp_path / "out", again, lambda *told: heard.append(told))
    assert [(t.config.strategy, t.config.seed) for t in reversed(made)] == [
        ("random", 0),
        ("random", 1),
        ("margin", 1),
        ("margin", 1),
    ]
    assert heard == [(done, 6) for done in range(2, 7)]
    after = tree(tmp_path / "out" / "trials")
    assert before.items() <= after.items()
    made.clear()
    finished([finished_cache.path], tmp_path / "out", again)
    assert made == []


def test_a_damaged_trial_is_made_again(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    few = Plan(PLAN.arms[:1], PLAN.arms[0].name, seeds=2)
    first = finished([finished_cache.path], tmp_path / "out", few)
    made.clear()
    path = sorted((tmp_path / "out" / "trials").iterdir())[0]
    path.write_bytes(path.read_bytes()[:100])
    said: list[str] = []
    second = finished([finished_cache.path], tmp_path / "out", few, say=said.append)
    assert len(made) == len(said) == 1
    assert str(path) in said[0]
    assert numbers(first) == numbers(second)


def numbers(results: Results) -> list[Any]:
    return [
        (cache.name, name, [timeless(trial) for trial in trials])
        for cache in results.caches
        for name, trials in cache.trials.items()
    ]


def test_several_caches_are_compared_in_turn(tmp_path: Path, made: list[Task]) -> None:
    one = write_cache(tmp_path / "one.zarr", 300)
    two = write_cache(tmp_path / "two.zarr", 300, seed=1)
    few = Plan(PLAN.arms[:1], PLAN.arms[0].name, seeds=2)
    results = finished([one.path, two.path], tmp_path / "out", few)
    assert [cache.name for cache in results.caches] == ["one", "two"]
    assert [task.cache.name for task in made] == ["two.zarr"] * 2 + ["one.zarr"] * 2
    trials = [cache.trials["margin, full pool"][0] for cache in results.caches]
    assert trials[0].measured != trials[1].measured


def test_nothing_is_computed_where_one_arm_cannot_work(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    path, arms = finished_cache.path, PLAN.arms
    greedy = Arm("greedy", replace(COMMON, rounds=500))
    twin = write_cache(tmp_path / "deeper" / "cache.zarr", 300)
    with pytest.raises(RunError, match="the arm 'greedy' cannot work on cache: 500 rounds of 4"):
        finished([path], tmp_path / "out", replace(PLAN, arms=(*arms, greedy)))
    with pytest.raises(RunError, match="has 116 labelled test images, and 999 are to be"):
        finished([path], tmp_path / "out", replace(PLAN, eval_sizes=(None, 999)))
    wrong = Arm("wrong", replace(COMMON, head="tail"))
    with pytest.raises(RunError, match="cannot work on cache: no heads called 'tail'"):
        finished([path], tmp_path / "out", replace(PLAN, arms=(*arms, wrong)))
    with pytest.raises(RunError, match="are both called 'cache'; name each cache once"):
        finished([path, twin.path], tmp_path / "out", PLAN)
    assert made == []
    assert not (tmp_path / "out").exists()


def test_a_head_that_needs_names_is_refused_where_there_are_none(
    tmp_path: Path, made: list[Task]
) -> None:
    named, bare = (write_cache(tmp_path / f"{name}.zarr", 300) for name in ("named", "bare"))
    words = text(8)
    unknown = LabelText(words.names, (), np.full_like(words.vectors, np.nan), 20.0)
    with CacheWriter.open(bare.path, identity(), chunk_rows=CHUNK_ROWS) as writer:
        writer.write_text(unknown)
    arms = tuple(Arm(head, replace(COMMON, head=head)) for head in ("linear", "zero_shot"))
    with pytest.raises(RunError, match="the arm 'zero_shot' cannot work on bare: "):
        finished([named.path, bare.path], tmp_path / "out", Plan(arms, "linear", seeds=1))
    assert made == []
    assert not (tmp_path / "out").exists()


def test_a_head_that_cannot_go_on_is_refused_before_anything_is_computed(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    adapter = Arm("adapter", replace(COMMON, head="tip_adapter", head_start="continue"))
    with pytest.raises(RunError, match="the arm 'adapter' cannot work on cache: "):
        finished([finished_cache.path], tmp_path / "out", Plan((*PLAN.arms, adapter), "random"))
    assert made == []
    assert not (tmp_path / "out").exists()


def test_arms_that_stop_at_once_have_results_and_no_picks(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    grid = Grid(("margin", "random"), ("linear",), inits=("stratified:1",))
    plan = Plan(grid.arms(replace(COMMON, stop="uncertainty:1")), "random", seeds=1)
    (cache,) = finished([finished_cache.path], tmp_path / "out", plan).caches
    assert [len(trial.labels) for (trial,) in cache.trials.values()] == [1, 1]
    assert [places.shape for places in cache.map.picks.values()] == [(0, 2), (0, 2)]


def test_a_cache_that_was_written_anew_is_read_anew(tmp_path: Path, made: list[Task]) -> None:
    few = Plan(PLAN.arms[:1], PLAN.arms[0].name, seeds=1)
    path = tmp_path / "photos.zarr"
    keys, results = [], []
    for seed in (0, 1):
        shutil.rmtree(path, ignore_errors=True)
        keys.append(key_of(write_cache(path, 300, seed=seed)))
        results.append(finished([path], tmp_path / f"out-{seed}", few))
    assert keys[0] != keys[1]
    assert [task.data for task in made] == keys
    assert numbers(results[0]) != numbers(results[1])
    with pytest.raises(RunError, match="other images, labels or class names in photos"):
        finished([path], tmp_path / "out-0", few)


def test_trials_of_a_cache_that_changes_meanwhile_are_not_kept(
    tmp_path: Path, made: list[Task]
) -> None:
    path = write_cache(tmp_path / "photos.zarr", 300).path
    few = Plan(PLAN.arms[:1], PLAN.arms[0].name, seeds=1)

    def write_anew(done: int, total: int) -> None:
        shutil.rmtree(path)
        write_cache(path, 300, seed=1)

    with pytest.raises(RunError, match=r"photos\.zarr changed while it was compared") as caught:
        finished([path], tmp_path / "out", few, progress=write_anew)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out" / "trials").exists()


def test_nobody_else_works_in_the_folder_before_the_results_are_let_go(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    few = Plan(PLAN.arms[:1], PLAN.arms[0].name, seeds=1)
    more = replace(few, seeds=2)
    out = tmp_path / "out"
    with compare([finished_cache.path], out, few):
        before = tree(out)
        with pytest.raises(RunError, match=r"another process is comparing in .*out; wait"):
            finished([finished_cache.path], out, more)
        assert tree(out) == before
    assert (
        len(finished([finished_cache.path], out, more).caches[0].trials["margin, full pool"]) == 2
    )


def test_a_comparison_that_was_killed_goes_on_to_the_same_end(
    finished_cache: EmbeddingCache, tmp_path: Path, made: list[Task]
) -> None:
    grid = Grid(("margin", "random"), ("linear",), inits=("stratified:1",))
    plan = Plan(grid.arms(COMMON), "random", seeds=4)
    options = "--strategy margin --strategy random --head linear --init stratified:1 --batch 4 "
    options += "--rounds 2 --seeds 4"
    command = ["compare", str(finished_cache.path), str(tmp_path / "out"), *options.split()]
    assert killed_before(TrialStore, "add", 3, command) == -signal.SIGKILL
    trials = tmp_path / "out" / "trials"
    kept = {name: data for name, data in tree(trials).items() if name.endswith(".json")}
    assert len(kept) == 2
    resumed = finished([finished_cache.path], tmp_path / "out", plan)
    assert len(made) == 6
    assert kept.items() <= tree(trials).items()
    whole = finished([finished_cache.path], tmp_path / "whole", plan)
    assert numbers(resumed) == numbers(whole)
    assert set(tree(trials)) == set(tree(tmp_path / "whole" / "trials"))
