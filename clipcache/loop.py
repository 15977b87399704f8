"""The main path: fit, evaluate, score, select, ask, and again.

`Run.propose` does the first four, the oracle answers, `Run.record` keeps the answers.
"""

from collections.abc import Callable

from clipcache.dataset import Dataset
from clipcache.labels import Round
from clipcache.oracles.base import Oracle
from clipcache.oracles.noisy import Noisy
from clipcache.oracles.replay import Replay
from clipcache.run import Run
from clipcache.run_config import RunConfig


def replay(run: Run, on_round: Callable[[Round], None] = lambda closed: None) -> list[Round]:
    """Drive a run to its end with the labels that the cache has, and return all of its rounds.

    `on_round` hears of each round that is closed in this call.
    """
    oracle = oracle_of(run.data, run.config)
    told = len(run.store.rounds())
    while True:
        batch = run.propose()
        rounds = run.store.rounds()
        for closed in rounds[told:]:
            on_round(closed)
        told = len(rounds)
        if not len(batch):
            return rounds
        run.record(batch, oracle.label(batch), annotator="replay", source="cache")


def oracle_of(data: Dataset, config: RunConfig) -> Oracle:
    """Return who answers: the labels that the cache has, wrong as often as is configured."""
    truth = Replay(data.labels)
    if not config.label_noise:
        return truth
    return Noisy(truth, config.label_noise, len(data.names), seed=config.seed)
