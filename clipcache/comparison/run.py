"""A comparison from its plan to its results: what is finished is read, the rest is computed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from clipcache.arrays import RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.comparison.plan import Plan
from clipcache.comparison.pool_map import draw_map
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.store import TrialStore, alone, begin, trial_key
from clipcache.comparison.trial import (
    Task,
    Trial,
    data_key,
    dataset_of,
    pool_counts,
    run_trial,
)
from clipcache.dataset import Dataset
from clipcache.errors import ClipcacheError, RunError
from clipcache.images.roots import Place, parted
from clipcache.processes import run_all
from clipcache.roles import evaluation_rows
from clipcache.run_folder import check
from clipcache.starts import start_size

Progress = Callable[[int, int], None]
"""Hears how many trials are finished, and of how many, each time that one is."""


@contextmanager
def compare(
    caches: Sequence[Place],
    folder: Path,
    plan: Plan,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda message: None,
) -> Iterator[Results]:
    """Make all trials of the plan on each cache that `folder` does not have, and yield them all.

    One trial to a processor; each is kept as soon as it is finished, so that after a crash the
    same call goes on. `say` hears of damaged files in `folder`. No other process may work there
    until the block ends, so that a report of other arms cannot take the place of this one.

    Raises, before anything is computed or written: RunError where an arm cannot work on a cache,
    the folder belongs to something else or another process is in it, and what `Dataset.load`
    raises; and, any time, RunError where a cache changes meanwhile.
    """
    named = _names(caches)
    data = {name: _checked(name, path, plan) for name, path in named.items()}
    with alone(folder):
        begin(folder, plan, data)
        tasks = {name: list(_tasks(path, data[name], plan)) for name, path in named.items()}
        keys = {task: trial_key(task) for own in tasks.values() for task in own}
        found = _finish(keys, TrialStore(folder, say), progress)
        trials = {name: [found[keys[task]] for task in own] for name, own in tasks.items()}
        yield Results(
            plan,
            tuple(
                _results(name, plan, dataset_of(own[0]), trials[name])
                for name, own in tasks.items()
            ),
        )


def _names(caches: Sequence[Place]) -> dict[str, Place]:
    named: dict[str, Place] = {}
    for path in caches:
        _, name = parted(path.resolve() if isinstance(path, Path) else path)
        name = name.removesuffix(".zarr")
        if name in named:
            raise RunError(
                f"{named[name]} and {path} are both called {name!r}; name each cache once, and "
                "rename one where they are two"
            )
        named[name] = path
    return named


def _checked(name: str, path: Place, plan: Plan) -> str:
    """Return the `data_key` of a cache; RunError unless every arm can work on it."""
    data = Dataset.load(EmbeddingCache.open(path))
    for arm in plan.arms:
        try:
            check(replace(arm.config, eval_size=None), data)
        except ClipcacheError as error:
            raise RunError(f"the arm {arm.name!r} cannot work on {name}: {error}") from error
    _refuse_too_few(name, data, plan)
    return data_key(data)


def _refuse_too_few(name: str, data: Dataset, plan: Plan) -> None:
    """Raise RunError where there are fewer images than are to be measured on or sampled from.

    An arm whose sample is the whole pool would be tested against its own twin.
    """
    test = len(evaluation_rows(data, 0, None))
    for size in plan.eval_sizes:
        if size is not None and size > test:
            raise RunError(
                f"{name} has {test} labelled test images, and {size} are to be measured on; give "
                'fewer, or all: --eval-size all, in a plan eval_sizes = ["all"]'
            )
    labels = data.labels[data.pool]
    labels = labels[labels >= 0]
    for arm in plan.arms:
        sample = arm.config.subsample
        left = len(labels) - start_size(arm.config.init, labels, data.names)
        if sample is not None and sample >= left and not arm.traditional:
            raise RunError(
                f"the arm {arm.name!r} would score the whole pool of {name} in every round: "
                f"{sample} images are to be scored, and {left} are left after its start; give "
                'fewer, or all: --pool full, in a plan pools = ["full"] or subsample = "full"'
            )


def _tasks(path: Place, data: str, plan: Plan) -> Iterator[Task]:
    """Yield all trials of one cache, seed by seed, so that a process loads a cache once."""
    for seed in range(plan.seeds):
        for arm in plan.arms:
            config = replace(arm.config, seed=seed, eval_size=None)
            yield Task(path, data, config, arm.traditional, plan.eval_sizes)


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


def _results(name: str, plan: Plan, data: Dataset, trials: Sequence[Trial]) -> CacheResults:
    """Return what `trials`, in the order of `_tasks`, found on one cache."""
    of_arm = {arm.name: tuple(trials[i :: len(plan.arms)]) for i, arm in enumerate(plan.arms)}
    counts = pool_counts(data)
    return CacheResults(
        name=name,
        pool=int(counts.sum()),
        test=len(evaluation_rows(data, 0, None)),
        classes=data.names,
        pool_counts=tuple(counts.tolist()),
        trials=of_arm,
        map=draw_map(data, _picks(plan, of_arm)),
    )


def _picks(plan: Plan, trials: dict[str, tuple[Trial, ...]]) -> dict[str, RowIds]:
    """Return what the first seed of each arm that chooses asked for after its start."""
    return {
        arm.name: np.array(
            [row for batch in trials[arm.name][0].batches[1:] for row in batch], dtype=np.int64
        )
        for arm in plan.arms
        if not arm.traditional
    }
