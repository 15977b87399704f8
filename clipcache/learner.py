"""The steps of a round, without memory: what is known goes in, what follows from it comes out.

`run.py` gives them a folder and people who may go home between two batches; `experiment.py` repeats
them in memory, hundreds of times, to compare.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from clipcache import registry, scoring
from clipcache.arrays import Labels, Probs, RowIds
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.features import Rows
from clipcache.heads.base import FittedHead, Head, LinearWeights
from clipcache.labels import Round
from clipcache.pool import Pool
from clipcache.run_folder import RunConfig
from clipcache.starts import choose_start
from clipcache.strategies.base import Strategy
from clipcache.whitening import PoolSample

EVALUATION, START, SUBSAMPLE, SELECTION, FIT, SAMPLE = range(6)
"""What a random generator is for: each purpose and round has its own, so that runs with one seed
share their start and their evaluation images, whatever else differs."""

SHOWN = 5
"""Classes that are looked at in an evaluation image."""


class Closed(NamedTuple):
    """What follows from the labels of all batches so far."""

    head: FittedHead
    guesses: Labels
    """(m, 5) likeliest classes of the evaluation images; fewer columns with fewer classes."""
    probs: Probs
    """(m, 5) their probabilities."""
    batch: RowIds
    """The rows to label next, the most wanted first; empty when the last round is over."""
    round: Round


class Learner:
    """One configuration on one dataset."""

    def __init__(self, data: Dataset, config: RunConfig, *, device: str = "cpu") -> None:
        self.data = data
        self.config = config
        self._features = data.features if device == "cpu" else _on_device(data.features, device)
        self._strategy: Strategy = registry.load("strategies", config.strategy)()
        self._head: Head = registry.load("heads", config.head)()
        self.pool = data.pool[data.labels[data.pool] >= 0]
        self._sample = PoolSample.draw(data.features, self.pool, rng=self._rng(SAMPLE, 0))
        test = data.test[data.labels[data.test] >= 0]
        size = len(test) if config.eval_size is None else config.eval_size
        self.test = np.sort(self._rng(EVALUATION, 0).choice(test, size=size, replace=False))

    def start(self) -> RowIds:
        """Return the rows of iteration zero."""
        labels = self.data.labels[self.pool]
        rng = self._rng(START, 0)
        return choose_start(
            self.config.init, self.pool, labels, self.data.names, self._sample, rng=rng
        )

    def close(
        self,
        batches: Sequence[RowIds],
        answers: Sequence[Labels],
        previous: FittedHead | None = None,
    ) -> Closed:
        """Fit and evaluate on all batches, then choose the next one.

        `answers` are the labels of the `batches`, and `previous` the head that was fitted without
        the last of them, for runs that go on from it; RunError where that is no weight matrix.
        """
        number = len(batches) - 1
        began = time.perf_counter()
        head = self._fit(number, batches, answers, previous)
        fitted = time.perf_counter()
        shown = min(SHOWN, len(self.data.names))
        guesses, probs = scoring.shortlist(self.data.features, self.test, head, shown)
        right = guesses == self.data.labels[self.test][:, None]
        asked, known = np.concatenate(batches), np.concatenate(answers)
        unlabeled = np.setdiff1d(self.pool, asked)
        pool = Pool(self._features, head, unlabeled, asked, known, self._sample)
        batch = asked[:0]
        selecting = time.perf_counter()
        if number < self.config.rounds:
            batch = self._select(pool, number + 1)
        selected = time.perf_counter()
        measured = Round(
            round=number,
            labels=len(asked),
            top1=float(right[:, 0].mean()),
            top5=float(right.any(axis=1).mean()),
            fit_seconds=fitted - began,
            score_seconds=pool.clock.seconds,
            select_seconds=selected - selecting - pool.clock.seconds,
        )
        return Closed(head, guesses, probs, batch, measured)

    def _fit(
        self,
        number: int,
        batches: Sequence[RowIds],
        answers: Sequence[Labels],
        previous: FittedHead | None,
    ) -> FittedHead:
        if not isinstance(previous, LinearWeights | None):
            raise RunError(
                f"--head-start continue goes on from weights, and the head {self.config.head} has "
                "others: give fresh, or another head"
            )
        first = number if self.config.train_on == "latest" else 0
        rows, labels = np.concatenate(batches[first:]), np.concatenate(answers[first:])
        return self._head.fit(
            self.data.features[rows].astype(np.float32),
            labels,
            n_classes=len(self.data.names),
            text=self.data.text,
            rng=self._rng(FIT, number),
            start=previous,
            pool=self._sample,
        )

    def _select(self, pool: Pool, number: int) -> RowIds:
        if self.config.subsample is not None:
            size = min(self.config.subsample, len(pool.unlabeled))
            rng = self._rng(SUBSAMPLE, number)
            pool = pool.restrict(rng.choice(pool.unlabeled, size=size, replace=False))
        return self._strategy.select(pool, self.config.batch, rng=self._rng(SELECTION, number))

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.config.seed, purpose, number))


def _on_device(features: Rows, device: str) -> Rows:
    from clipcache.device import OnDevice  # brings torch, which a run on processors does without

    return OnDevice(features, device)
