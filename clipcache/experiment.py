"""Runs that only exist to be compared: in memory, on replayed labels, several at a time."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from clipcache.arrays import Labels, RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.heads.base import FittedHead
from clipcache.labels import Round
from clipcache.learner import Closed, Learner
from clipcache.loop import oracle_of
from clipcache.run_folder import RunConfig, check
from clipcache.threads import available_threads, limit_threads


class Experiment(NamedTuple):
    """One run to make."""

    cache: Path
    config: RunConfig


def simulate(data: Dataset, config: RunConfig) -> Iterator[Closed]:
    """Yield what follows from the labels of each round, first to last.

    The batches are those that `Run` would propose. Raises RunError as `Run.begin` does.
    """
    check(config, data)
    learner, oracle = Learner(data, config), oracle_of(data, config)
    batches: list[RowIds] = []
    answers: list[Labels] = []
    previous: FittedHead | None = None
    batch = learner.start()
    while len(batch):
        batches.append(batch)
        answers.append(oracle.label(batch))
        closed = learner.close(batches, answers, previous)
        yield closed
        if config.head_start == "continue":
            previous = closed.head
        batch = closed.batch


def simulate_all(experiments: Sequence[Experiment]) -> Iterator[list[Round]]:
    """Yield the rounds of each experiment, in their order, one experiment to a processor.

    Rounds are small: many threads would wait for each other, many processes do not.
    """
    processes = min(available_threads(), len(experiments))
    # A forked process would inherit the locks of threads that it does not have.
    with ProcessPoolExecutor(processes, get_context("spawn"), limit_threads, (1,)) as workers:
        yield from workers.map(_rounds, experiments)


def _rounds(experiment: Experiment) -> list[Round]:
    return [closed.round for closed in simulate(_dataset(experiment.cache), experiment.config)]


@lru_cache(maxsize=1)
def _dataset(cache: Path) -> Dataset:
    return Dataset.load(EmbeddingCache.open(cache))
