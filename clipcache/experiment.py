"""Runs that only exist to be compared: in memory, on replayed labels, several at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from clipcache.arrays import Labels, RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.heads.base import FittedHead
from clipcache.images.roots import Place
from clipcache.labels import Round
from clipcache.learner import Closed, History, Learner
from clipcache.loop import oracle_of
from clipcache.processes import run_all
from clipcache.run_config import RunConfig
from clipcache.run_folder import check


class Experiment(NamedTuple):
    """One run to make."""

    cache: Place
    config: RunConfig


def simulate(data: Dataset, config: RunConfig) -> Iterator[Closed]:
    """Yield what follows from the labels of each round, first to last.

    The batches are those that `Run` would propose. Raises RunError as `Run.begin` does.
    """
    check(config, data)
    learner, oracle = Learner(data, config), oracle_of(data, config)
    batches: list[RowIds] = []
    answers: list[Labels] = []
    rounds: list[Round] = []
    head: FittedHead | None = None
    batch = learner.start()
    while len(batch):
        batches.append(batch)
        answers.append(oracle.label(batch))
        closed = learner.close(History(batches, answers, rounds, head))
        yield closed
        rounds.append(closed.round)
        batch, head = closed.batch, closed.head


def simulate_traditional(data: Dataset, config: RunConfig) -> Iterator[Closed]:
    """Yield a model of its own for each number of labels that `simulate` would have passed.

    Each is fitted on a fresh start and fresh random images; nothing is selected, and no rule stops
    it. The first is the round 0 of `simulate`. Raises RunError as that does.
    """
    check(config, data)
    learner = Learner(data, replace(config, rounds=0, stop="budget"))
    oracle = oracle_of(data, config)
    for number in range(config.rounds + 1):
        rows = learner.start(number)
        yield learner.close(History([rows], [oracle.label(rows)]))


def simulate_all(experiments: Sequence[Experiment]) -> Iterator[list[Round]]:
    """Yield the rounds of each experiment, in their order, one experiment to a processor."""
    waiting: dict[int, list[Round]] = {}
    told = 0
    for place, rounds in run_all(_rounds, experiments):
        waiting[place] = rounds
        while told in waiting:
            yield waiting.pop(told)
            told += 1


def _rounds(experiment: Experiment) -> list[Round]:
    return [closed.round for closed in simulate(_dataset_at(experiment.cache), experiment.config)]


@lru_cache(maxsize=1)  # for the processes of `simulate_all`, which end with it
def _dataset_at(cache: Place) -> Dataset:
    return Dataset.load(EmbeddingCache.open(cache))
