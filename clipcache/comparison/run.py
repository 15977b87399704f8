"""A comparison from its plan to its results: what is finished is read, the rest is computed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from clipcache.arrays import RowIds
from clipcache.comparison.plan import Plan
from clipcache.comparison.pool_map import draw_map
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.store import TrialStore, begin, data_key, trial_key
from clipcache.comparison.trial import Task, Trial, pool_counts, run_trial
from clipcache.errors import ClipcacheError, RunError
from clipcache.experiment import dataset_at
from clipcache.learner import evaluation_rows
from clipcache.processes import run_all
from clipcache.run_folder import check

Progress = Callable[[int, int], None]
"""Hears how many trials are finished, and of how many, each time that one is."""


def compare(
    caches: Sequence[Path],
    folder: Path,
    plan: Plan,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda message: None,
) -> Results:
    """Make all trials of the plan on each cache that `folder` does not have, and return them all.

    One trial to a processor; each is kept as soon as it is finished, so that after a crash the
    same call goes on. `say` hears of damaged files in `folder`.

    Raises, before anything is computed: RunError where an arm cannot work on a cache, or the folder
    belongs to something else, and what `Dataset.load` raises.
    """
    named = _names(caches)
    data = {name: _checked(name, path, plan) for name, path in named.items()}
    begin(folder, plan, data)
    keys = {
        task: trial_key(data[name], task)
        for name, path in named.items()
        for task in _tasks(path, plan)
    }
    found = _finish(keys, TrialStore(folder, say), progress)
    trials = {task: found[key] for task, key in keys.items()}
    return Results(plan, tuple(_results(name, path, plan, trials) for name, path in named.items()))


def _names(caches: Sequence[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in caches:
        name = path.resolve().name.removesuffix(".zarr")
        if name in named:
            raise RunError(
                f"{named[name]} and {path} are both called {name!r}; name each cache once, and "
                "rename one where they are two"
            )
        named[name] = path
    return named


def _checked(name: str, path: Path, plan: Plan) -> str:
    """Return the `data_key` of a cache; RunError unless every arm can work on it."""
    data = dataset_at(path)
    for arm in plan.arms:
        for size in plan.eval_sizes:
            try:
                check(replace(arm.config, eval_size=size), data)
            except ClipcacheError as error:
                raise RunError(f"the arm {arm.name!r} cannot work on {name}: {error}") from error
    return data_key(data)


def _tasks(path: Path, plan: Plan) -> Iterator[Task]:
    """Yield all trials of one cache, seed by seed, so that a process loads a cache once."""
    for seed in range(plan.seeds):
        for arm in plan.arms:
            config = replace(arm.config, seed=seed, eval_size=None)
            yield Task(path, config, arm.traditional, plan.eval_sizes)


def _finish(keys: dict[Task, str], store: TrialStore, progress: Progress) -> dict[str, Trial]:
    """Return all trials by their keys, making and storing those that are not there."""
    found = {key: trial for key in keys.values() if (trial := store.find(key))}
    missing = {key: task for task, key in keys.items() if key not in found}
    total = len(found) + len(missing)
    progress(len(found), total)
    waiting = list(missing)
    for place, trial in run_all(run_trial, list(missing.values())):
        store.add(waiting[place], trial)
        found[waiting[place]] = trial
        progress(len(found), total)
    return found


def _results(name: str, path: Path, plan: Plan, trials: dict[Task, Trial]) -> CacheResults:
    data = dataset_at(path)
    tasks = iter(_tasks(path, plan))
    seeds = [{arm.name: trials[next(tasks)] for arm in plan.arms} for _ in range(plan.seeds)]
    counts = pool_counts(data)
    return CacheResults(
        name=name,
        pool=int(counts.sum()),
        test=len(evaluation_rows(data, 0, None)),
        classes=data.names,
        pool_counts=tuple(counts.tolist()),
        trials={arm.name: tuple(seed[arm.name] for seed in seeds) for arm in plan.arms},
        map=draw_map(data, _picks(plan, seeds[0])),
    )


def _picks(plan: Plan, trials: dict[str, Trial]) -> dict[str, RowIds]:
    """Return what each arm that chooses asked for after its start."""
    return {
        arm.name: np.array([row for batch in trials[arm.name].batches[1:] for row in batch])
        for arm in plan.arms
        if not arm.traditional
    }
