"""Runs that only exist to be compared: in memory, on replayed labels."""

from collections.abc import Iterator

from clipcache.arrays import Labels, RowIds
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.heads.base import LinearWeights
from clipcache.learner import Closed, Learner
from clipcache.loop import oracle_of
from clipcache.run_folder import RunConfig, check


def simulate(data: Dataset, config: RunConfig) -> Iterator[Closed]:
    """Yield what follows from the labels of each round, first to last.

    The batches are those that `Run` would propose. Raises RunError as `Run.begin` does.
    """
    check(config, data)
    learner, oracle = Learner(data, config), oracle_of(data, config)
    batches: list[RowIds] = []
    answers: list[Labels] = []
    previous: LinearWeights | None = None
    batch = learner.start()
    while len(batch):
        batches.append(batch)
        answers.append(oracle.label(batch))
        closed = learner.close(batches, answers, previous)
        yield closed
        if config.head_start == "continue":
            if not isinstance(closed.head, LinearWeights):
                raise RunError(f"--head-start continue needs a linear head, not {config.head}")
            previous = closed.head
        batch = closed.batch
