"""One arm with one seed on one cache: what it asked for and what it measured."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Labels, Probs
from clipcache.cache.reader import EmbeddingCache
from clipcache.comparison.plan import evaluation_name
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.experiment import simulate, simulate_traditional
from clipcache.images.roots import Place
from clipcache.learner import Closed
from clipcache.metrics import (
    expected_calibration_error,
    head_recall,
    macro_recall,
    tail_recall,
)
from clipcache.roles import evaluation_rows
from clipcache.run_config import RunConfig
from clipcache.stopping import why_stop

METRICS = ("top1", "top5", "macro_recall", "tail_recall", "head_recall", "ece")
"""What is measured on the evaluation images of each round, each in [0, 1]."""

Measured = dict[str, dict[str, tuple[float, ...]]]


@dataclass(frozen=True)
class Trial:
    """The rounds of one run, first to last."""

    labels: tuple[int, ...]
    """Labels that had been given when the round closed."""
    seconds: tuple[float, ...]
    """Time to fit, score and select."""
    batches: tuple[tuple[int, ...], ...]
    """Rows of the cache that the round asked for; round 0 is the start. The traditional arm asks
    for everything anew in each round."""
    measured: Measured
    """Evaluation ("all", "200") -> metric -> its value in each round."""
    stopped: str
    """Why there were no more rounds."""


class Task(NamedTuple):
    """A trial to make. Nothing else decides what comes out, times apart."""

    cache: Place
    data: str
    """`data_key` of what the cache has to hold."""
    config: RunConfig
    """With the trial's seed; its `eval_size` is None."""
    traditional: bool
    eval_sizes: tuple[int | None, ...]


def run_trial(task: Task) -> Trial:
    """Return what one arm does with one seed. Raises RunError as `simulate` and `dataset_of` do."""
    data, config = dataset_of(task), task.config
    if task.traditional:
        closed = list(simulate_traditional(data, config))
        batches = [c.asked for c in closed]
    else:
        closed = list(simulate(data, config))
        counts = [c.round.labels for c in closed]
        batches = np.split(closed[-1].asked, counts[:-1])
    rounds = [c.round for c in closed]
    rules = "budget" if task.traditional else config.stop
    return Trial(
        labels=tuple(r.labels for r in rounds),
        seconds=tuple(r.fit_seconds + r.score_seconds + r.select_seconds for r in rounds),
        batches=tuple(tuple(batch.tolist()) for batch in batches),
        measured=_measure_all(data, task, closed),
        stopped=why_stop(rounds, rules, config.rounds) or "",
    )


def dataset_of(task: Task) -> Dataset:
    """Return what the task is about; the last one that was loaded is kept.

    Raises RunError where the cache holds something else by now, and what `Dataset.load` raises.
    """
    return _load(task.cache, task.data)


@lru_cache(maxsize=1)
def _load(cache: Place, key: str) -> Dataset:
    data = Dataset.load(EmbeddingCache.open(cache))
    if data_key(data) != key:
        raise RunError(
            f"{cache} changed while it was compared; let nobody write to it, and compare it again "
            "in another folder"
        )
    return data


def data_key(data: Dataset) -> str:
    """Return the hash of everything in a cache that a trial looks at."""
    sha = hashlib.sha256(data.fingerprint.encode())
    sha.update("\0".join(data.names).encode())
    if data.text is not None:
        sha.update(data.text.vectors.tobytes() + str(data.text.logit_scale).encode())
    return sha.hexdigest()


def _measure_all(data: Dataset, task: Task, closed: list[Closed]) -> Measured:
    everyone = evaluation_rows(data, task.config.seed, None)
    counts = pool_counts(data)
    measured: Measured = {}
    for size in task.eval_sizes:
        rows = evaluation_rows(data, task.config.seed, size)
        place = np.searchsorted(everyone, rows)
        labels = data.labels[rows]
        values = [measure(c.guesses[place], c.probs[place], labels, counts) for c in closed]
        measured[evaluation_name(size)] = {
            metric: tuple(v[metric] for v in values) for metric in METRICS
        }
    return measured


def measure(
    guesses: Labels, probs: Probs, labels: Labels, counts: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Return each of `METRICS`.

    Parameters
    ----------
    guesses, probs : (m, 5) likeliest classes, best first, and their probabilities.
    labels : (m,) the right classes.
    counts : (c,) images of each class in the pool.
    """
    first = guesses[:, 0]
    right = guesses == labels[:, None]
    sure = np.minimum(probs[:, 0], 1)  # float32 may round up
    return {
        "top1": float(right[:, 0].mean()),
        "top5": float(right.any(axis=1).mean()),
        "macro_recall": macro_recall(first, labels),
        "tail_recall": tail_recall(first, labels, counts),
        "head_recall": head_recall(first, labels, counts),
        "ece": expected_calibration_error(sure, right[:, 0]),
    }


def pool_counts(data: Dataset) -> npt.NDArray[np.int64]:
    """Return (c,) how many labelled images of each class could be asked for."""
    labels = data.labels[data.pool]
    counts: npt.NDArray[np.int64] = np.bincount(labels[labels >= 0], minlength=len(data.names))
    return counts
