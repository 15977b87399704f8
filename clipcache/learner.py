"""The steps of a round, without memory: what is known goes in, what follows from it comes out.

`run.py` gives them a folder and people who may go home between two batches; `experiment.py` repeats
them in memory, hundreds of times, to compare.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import softmax
from threadpoolctl import threadpool_limits

from clipcache import registry, scoring
from clipcache.arrays import Labels, Probs, RowIds, Vectors
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.features import Rows
from clipcache.heads.base import FittedHead, Head, LinearWeights
from clipcache.labels import Round
from clipcache.metrics import cohen_kappa, expected_calibration_error, mean_uncertainty
from clipcache.pool import Pool
from clipcache.run_folder import RunConfig
from clipcache.starts import choose_start
from clipcache.stopping import why_stop
from clipcache.strategies.base import Strategy
from clipcache.whitening import PoolSample

EVALUATION, START, SUBSAMPLE, SELECTION, FIT, SAMPLE = range(6)
"""What a random generator is for: each purpose and round has its own, so that runs with one seed
share their start and their evaluation images, whatever else differs."""

SHOWN = 5
"""Classes that are looked at in an evaluation image."""

WATCHED = 4096
"""Pool images on which a head is held against the one before it."""


class History(NamedTuple):
    """What is known when the labels of a batch are complete."""

    batches: Sequence[RowIds]
    """All that were asked for, in order."""
    answers: Sequence[Labels]
    """The labels of each."""
    rounds: Sequence[Round] = ()
    """What the rounds before this one measured."""
    head: FittedHead | None = None
    """The head of the round before, fitted without the last batch."""


class Closed(NamedTuple):
    """What follows from the labels of all batches so far."""

    head: FittedHead
    guesses: Labels
    """(m, 5) likeliest classes of the evaluation images; fewer columns with fewer classes."""
    probs: Probs
    """(m, 5) their probabilities."""
    asked: RowIds
    """The rows of these batches, in the order of asking."""
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
        self._sample = PoolSample.draw(
            data.features, self.pool, len(data.names), rng=self._rng(SAMPLE, 0)
        )
        self.test = evaluation_rows(data, config.seed, config.eval_size)

    def start(self, number: int = 0) -> RowIds:
        """Return the rows of iteration zero.

        With a `number`, as many as are labelled after so many rounds, as if there had been none: a
        start of its own and random rows.
        """
        labels = self.data.labels[self.pool]
        rng = self._rng(START, number)
        first = choose_start(
            self.config.init, self.pool, labels, self.data.names, self._sample, rng=rng
        )
        others = _without(self.pool, first)
        more = rng.choice(others, size=number * self.config.batch, replace=False)
        return np.concatenate([first, more])

    def close(self, history: History) -> Closed:
        """Fit and evaluate on all batches, then choose the next one.

        Raises RunError where the head is to go on from one that is no weight matrix, and where the
        strategy breaks its promise.
        """
        number = len(history.batches) - 1
        began = time.perf_counter()
        head = self._fit(number, history)
        fitted = time.perf_counter()
        shown = min(SHOWN, len(self.data.names))
        guesses, probs = scoring.shortlist(self.data.features, self.test, head, shown)
        measured = self._measure(history, head, guesses, probs)
        asked = np.concatenate(history.batches)
        batch, scored = asked[:0], 0.0
        selecting = time.perf_counter()
        if not why_stop([*history.rounds, measured], self.config.stop, self.config.rounds):
            known = np.concatenate(history.answers)
            unlabeled = _without(self.pool, asked)
            pool = Pool(self._features, head, unlabeled, asked, known, self._sample)
            batch = self._select(pool, number + 1)
            scored = pool.clock.seconds
        timed = replace(
            measured,
            fit_seconds=fitted - began,
            score_seconds=scored,
            select_seconds=time.perf_counter() - selecting - scored,
        )
        return Closed(head, guesses, probs, asked, batch, timed)

    def _fit(self, number: int, history: History) -> FittedHead:
        previous = history.head if self.config.head_start == "continue" else None
        if not isinstance(previous, LinearWeights | None):
            raise RunError(
                f"--head-start continue goes on from weights, and the head {self.config.head} has "
                "others: give fresh, or another head"
            )
        first = number if self.config.train_on == "latest" else 0
        # Sums over rows depend on the number of threads, which must not decide who is asked next.
        with threadpool_limits(1):
            return self._head.fit(
                self.data.features[np.concatenate(history.batches[first:])].astype(np.float32),
                np.concatenate(history.answers[first:]),
                n_classes=len(self.data.names),
                text=self.data.text,
                rng=self._rng(FIT, number),
                start=previous,
                pool=self._sample,
            )

    def _measure(self, history: History, head: FittedHead, guesses: Labels, probs: Probs) -> Round:
        """Return what a round measured, without its times."""
        right = guesses == self.data.labels[self.test][:, None]
        opinions = softmax(head.logits(self._watched), axis=1)
        agreement = None
        if history.head:
            before = history.head.logits(self._watched).argmax(axis=1)
            agreement = cohen_kappa(before, opinions.argmax(axis=1), len(self.data.names))
        return Round(
            round=len(history.batches) - 1,
            labels=sum(map(len, history.batches)),
            top1=float(right[:, 0].mean()),
            top5=float(right.any(axis=1).mean()),
            ece=expected_calibration_error(np.minimum(probs[:, 0], 1), right[:, 0]),
            uncertainty=mean_uncertainty(opinions),
            agreement=agreement,
            fit_seconds=0.0,
            score_seconds=0.0,
            select_seconds=0.0,
        )

    @cached_property
    def _watched(self) -> Vectors:
        """(w, d) float32 pool images, spread evenly; the same ones in every round."""
        step = -(-len(self._sample.rows) // WATCHED)
        x = self.data.features[self._sample.rows[:: max(step, 1)]].astype(np.float32)
        return x[np.isfinite(x).all(axis=1)]

    def _select(self, pool: Pool, number: int) -> RowIds:
        if self.config.subsample is not None:
            size = min(self.config.subsample, len(pool.unlabeled))
            rng = self._rng(SUBSAMPLE, number)
            pool = pool.restrict(rng.choice(pool.unlabeled, size=size, replace=False))
        rng = self._rng(SELECTION, number)
        rows = np.asarray(self._strategy.select(pool, self.config.batch, rng=rng))
        wrong = _fault(rows, self.config.batch, pool.unlabeled)
        if wrong:
            raise RunError(
                f"the strategy {self.config.strategy} chose {wrong}: expected {self.config.batch} "
                "different unlabelled rows of the cache"
            )
        return rows.astype(np.int64, copy=False)

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.config.seed, purpose, number))


def _fault(rows: npt.NDArray[Any], budget: int, unlabeled: RowIds) -> str | None:
    """Return what is wrong with the choice of a strategy; None where it is a batch."""
    if rows.shape != (budget,) or rows.dtype.kind not in "iu":
        return f"{rows.dtype} of shape {rows.shape}"
    values, counts = np.unique(rows, return_counts=True)
    if len(values) < budget:
        return f"row {values[counts > 1][0]} more than once"
    # A search for each chosen row: a set of all unlabelled ones would cost more than the scores.
    places = np.searchsorted(unlabeled, rows)
    strange = rows[unlabeled[np.minimum(places, len(unlabeled) - 1)] != rows]
    if len(strange):
        return f"row {strange[0]}, which is not among the {len(unlabeled)} unlabelled rows it has"
    return None


def _without(pool: RowIds, rows: RowIds) -> RowIds:
    """Return the pool less some rows; without looking for copies, of which a pool has none."""
    return np.setdiff1d(pool, rows, assume_unique=True)


def evaluation_rows(data: Dataset, seed: int, size: int | None) -> RowIds:
    """Return the sorted test rows that runs with this seed and this `eval_size` measure on."""
    test = data.test[data.labels[data.test] >= 0]
    if size is None:
        return test
    rng = np.random.default_rng((seed, EVALUATION, 0))
    return np.sort(rng.choice(test, size=size, replace=False))


def _on_device(features: Rows, device: str) -> Rows:
    from clipcache.device import OnDevice  # brings torch, which a run on processors does without

    return OnDevice(features, device)
