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

from clipcache import registry, scoring
from clipcache.arrays import Labels, Probs, RowIds, Vectors
from clipcache.ballots import OPEN
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.features import Rows
from clipcache.heads.base import FittedHead, Head, LinearWeights
from clipcache.labels import Round
from clipcache.metrics import cohen_kappa, expected_calibration_error, mean_uncertainty
from clipcache.pool import Pool
from clipcache.roles import roles
from clipcache.run_config import FIT, SAMPLE, SELECTION, START, SUBSAMPLE, RunConfig
from clipcache.starts import choose_start
from clipcache.stopping import why_stop
from clipcache.strategies.base import Strategy
from clipcache.threads import one_thread
from clipcache.whitening import PoolSample

SHOWN = 5
"""Classes that are looked at in an evaluation image."""

WATCHED = 4096
"""Pool images on which a head is held against the one before it."""


NO_ROWS: RowIds = np.empty(0, dtype=np.int64)


class History(NamedTuple):
    """What is known when the labels of a batch are complete, or nearly so."""

    batches: Sequence[RowIds]
    """All that were asked for, in order."""
    answers: Sequence[Labels]
    """The labels of each, negative where there is none."""
    rounds: Sequence[Round] = ()
    """What the rounds before this one measured."""
    head: FittedHead | None = None
    """The head of the round before, fitted without the last batch."""
    others: RowIds = NO_ROWS
    """Rows that somebody said something about without having been asked."""
    other_answers: Labels = NO_ROWS
    """Their labels, negative where there is none."""
    classes: int = 0
    """How many classes there are by now; those that the data had, where that is fewer."""
    seen: int = 0
    """The last entry of the label store that is counted here."""


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
        self.roles = roles(data, config)
        self._sample = self._draw(np.union1d(self.roles.pool, self.roles.given), 0)

    def _draw(self, rows: RowIds, number: int) -> PoolSample:
        classes, rng = len(self.data.names), self.config.rng(SAMPLE, number)
        return PoolSample.draw(self.data.features, rows, classes, rng=rng)

    @property
    def pool(self) -> RowIds:
        """Sorted rows that may be labelled."""
        return self.roles.pool

    @property
    def test(self) -> RowIds:
        """Sorted rows with a known label that accuracy is measured on."""
        return self.roles.test

    def start(self, number: int = 0) -> RowIds:
        """Return the rows of iteration zero.

        With a `number`, as many as are labelled after so many rounds, as if there had been none: a
        start of its own and random rows.
        """
        people = self.config.people
        labels = np.full(len(self.pool), -1) if people else self.data.labels[self.pool]
        rng = self.config.rng(START, number)
        sample = self._sample
        if len(self.roles.given):  # it has rows that nobody is to be asked about
            sample = self._draw(self.pool, 1)
        first = choose_start(self.config.init, self.pool, labels, self.data.names, sample, rng=rng)
        others = _without(self.pool, first)
        more = rng.choice(others, size=number * self.config.batch, replace=False)
        rows = np.concatenate([first, more, self.roles.held_out])
        return rng.permutation(rows) if len(self.roles.held_out) else rows

    def teaches(self, history: History) -> tuple[RowIds, Labels]:
        """Return the rows that a head learns from, and their labels.

        Those that the cache has come first, then others in the order of asking.
        """
        latest = self.config.train_on == "latest"
        return self._labeled(history, len(history.batches) - 1 if latest else 0)

    def _labeled(self, history: History, first: int = 0) -> tuple[RowIds, Labels]:
        """Return the rows that have a label and may teach, of the batches from `first` on."""
        rows = np.concatenate([*history.batches[first:], history.others])
        labels = np.concatenate([*history.answers[first:], history.other_answers])
        told = (labels >= 0) & ~np.isin(rows, self.roles.held_out)
        given = _without(self.roles.given, rows)  # what people decided counts instead
        return (
            np.concatenate([given, rows[told]]),
            np.concatenate([self.data.labels[given], labels[told]]),
        )

    def can_learn(self, history: History) -> bool:
        """Whether there is enough for a head: a label, and something to tell it from."""
        _, labels = self.teaches(history)
        return len(labels) > 0 and self._classes(history) > 1

    def more(self, history: History) -> RowIds:
        """Return random rows to label next, where there is not enough for a head yet."""
        number = len(history.batches)
        left = _without(self.pool, _looked_at(history))
        size = min(self.config.batch, len(left))
        return self.config.rng(SELECTION, number).choice(left, size=size, replace=False)

    def close(self, history: History, size: int | None = None) -> Closed:
        """Fit and evaluate on all batches, then choose the next one.

        `size` is how many rows to choose, where it is not as many as a batch has.

        Raises RunError where the head is to go on from one that is no weight matrix, and where the
        strategy breaks its promise.
        """
        number = len(history.batches) - 1
        began = time.perf_counter()
        head = self._fit(number, history)
        fitted = time.perf_counter()
        rows, labels = self._evaluation(history)
        shown = min(SHOWN, self._classes(history))
        guesses, probs = scoring.shortlist(self.data.features, rows, head, shown)
        measured = self._measure(history, head, guesses == labels[:, None], probs)
        batch, scored = NO_ROWS, 0.0
        selecting = time.perf_counter()
        looked_at = _looked_at(history)
        unlabeled = _without(self.pool, looked_at)
        ended = why_stop([*history.rounds, measured], self.config.stop, self.config.rounds)
        if len(unlabeled) and not ended:
            labeled = self._labeled_or_asked(history, head)
            pool = Pool(self._features, head, unlabeled, *labeled, self._sample)
            batch = self._select(pool, number + 1, size or self.config.batch)
            scored = pool.clock.seconds
        timed = replace(
            measured,
            fit_seconds=fitted - began,
            score_seconds=scored,
            select_seconds=time.perf_counter() - selecting - scored,
        )
        return Closed(head, guesses, probs, looked_at, batch, timed)

    def _labeled_or_asked(self, history: History, head: FittedHead) -> tuple[RowIds, Labels]:
        """Return the rows that need not be asked for again, and their labels.

        Those that people are still looking at count as what the head says, so that a strategy that
        wants variety does not ask for their likes (the "kriging believer" of Ginsbourger, Le Riche
        and Carraro 2010, "Kriging Is Well-Suited to Parallelize Optimization").
        """
        rows, labels = self._labeled(history)
        waiting = np.concatenate(history.batches)[np.concatenate(history.answers) == OPEN]
        waiting = waiting[~np.isin(waiting, self.roles.held_out)]
        if not len(waiting):
            return rows, labels
        guesses = head.logits(self.data.features[waiting].astype(np.float32)).argmax(axis=1)
        return np.concatenate([rows, waiting]), np.concatenate([labels, guesses])

    def _classes(self, history: History) -> int:
        return max(history.classes, len(self.data.names))

    def _evaluation(self, history: History) -> tuple[RowIds, Labels]:
        """Return the rows to measure on, and their labels."""
        rows, labels = np.concatenate(history.batches), np.concatenate(history.answers)
        told = (labels >= 0) & np.isin(rows, self.roles.held_out)
        return (
            np.concatenate([self.test, rows[told]]),
            np.concatenate([self.data.labels[self.test], labels[told]]),
        )

    def _fit(self, number: int, history: History) -> FittedHead:
        previous = history.head if self.config.head_start == "continue" else None
        if not isinstance(previous, LinearWeights | None):
            raise RunError(
                f"--head-start continue goes on from weights, and the head {self.config.head} has "
                "others: give fresh, or another head"
            )
        rows, labels = self.teaches(history)
        classes, text = self._classes(history), self.data.text
        if text is not None and classes > len(self.data.names):
            text = text.of([*self.data.names, *[""] * (classes - len(self.data.names))])
        # Sums over rows depend on the number of threads, which must not decide who is asked next.
        with one_thread():
            return self._head.fit(
                self.data.features[rows].astype(np.float32),
                labels,
                n_classes=classes,
                text=text,
                rng=self.config.rng(FIT, number),
                start=previous,
                pool=self._sample,
            )

    def _measure(
        self, history: History, head: FittedHead, right: npt.NDArray[np.bool_], probs: Probs
    ) -> Round:
        """Return what a round measured, without its times.

        `right` is (m, 5) whether a guess is the label, `probs` are their probabilities.
        """
        opinions = softmax(head.logits(self._watched), axis=1)
        classes, agreement = self._classes(history), None
        if history.head:
            before = history.head.logits(self._watched).argmax(axis=1)
            agreement = cohen_kappa(before, opinions.argmax(axis=1), classes)
        nothing = float("nan")
        ece = nothing
        if len(right):
            ece = expected_calibration_error(np.minimum(probs[:, 0], 1), right[:, 0])
        return Round(
            round=len(history.batches) - 1,
            labels=len(_without(self._labeled(history)[0], self.roles.given)),
            top1=float(right[:, 0].mean()) if len(right) else nothing,
            top5=float(right.any(axis=1).mean()) if len(right) else nothing,
            ece=ece,
            uncertainty=mean_uncertainty(opinions),
            agreement=agreement,
            fit_seconds=0.0,
            score_seconds=0.0,
            select_seconds=0.0,
            seen=history.seen,
            classes=classes,
        )

    @cached_property
    def _watched(self) -> Vectors:
        """(w, d) float32 pool images, spread evenly; the same ones in every round."""
        step = -(-len(self._sample.rows) // WATCHED)
        x = self.data.features[self._sample.rows[:: max(step, 1)]].astype(np.float32)
        return x[np.isfinite(x).all(axis=1)]

    def _select(self, pool: Pool, number: int, size: int) -> RowIds:
        if self.config.subsample is not None:
            shown = min(self.config.subsample, len(pool.unlabeled))
            rng = self.config.rng(SUBSAMPLE, number)
            pool = pool.restrict(rng.choice(pool.unlabeled, size=shown, replace=False))
        rng = self.config.rng(SELECTION, number)
        budget = min(size, len(pool.unlabeled))
        rows = np.asarray(self._strategy.select(pool, budget, rng=rng))
        wrong = _fault(rows, budget, pool.unlabeled)
        if wrong:
            raise RunError(
                f"the strategy {self.config.strategy} chose {wrong}: expected {budget} "
                "different unlabelled rows of the cache"
            )
        return rows.astype(np.int64, copy=False)


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


def _looked_at(history: History) -> RowIds:
    """Return every row that was asked for or labelled, in that order."""
    return np.concatenate([*history.batches, history.others])


def _on_device(features: Rows, device: str) -> Rows:
    from clipcache.device import OnDevice  # brings torch, which a run on processors does without

    return OnDevice(features, device)
