"""A run: propose a batch, record its labels, and again.

One state machine for every driver (replayed labels, people); all of its state is in its folder.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import Self

import numpy as np
from filelock import FileLock

from clipcache.arrays import Labels, RowIds
from clipcache.ballots import OPEN, Ballots
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.engines.scores import scored_by
from clipcache.errors import RunError
from clipcache.heads.base import FittedHead, load_head
from clipcache.labels import DECISION, WITHDRAWN, LabelStore, Round
from clipcache.learner import NO_ROWS, History, Learner
from clipcache.run_config import RunConfig
from clipcache.run_folder import begin, load, read
from clipcache.stopping import why_stop


class Run:
    """An opened run. Any thread may use it, and several processes at once."""

    def __init__(
        self, folder: Path, config: RunConfig, data: Dataset, *, device: str = "cpu"
    ) -> None:
        self.folder = folder
        self.config = config
        self.data = data
        (folder / "heads").mkdir(exist_ok=True)
        self.store = LabelStore(folder / "labels.sqlite")
        self._learner = Learner(data, config, device=device)
        self._ballots = Ballots(config.per_image)
        self._batches: list[RowIds] = []
        self._round_of: dict[int, int] = {}
        self._counting = RLock()

    @cached_property
    def cache(self) -> EmbeddingCache:
        """The cache that the run works on, for the keys of its images."""
        return EmbeddingCache.open(Path(read(self.folder)["cache"]))

    @property
    def pool(self) -> RowIds:
        """Sorted rows that may be labelled."""
        return self._learner.pool

    @property
    def test(self) -> RowIds:
        """Sorted rows with a known label that accuracy is measured on."""
        return self._learner.test

    @property
    def given(self) -> RowIds:
        """Sorted rows whose label in the cache teaches from the start."""
        return self._learner.roles.given

    @property
    def held_out(self) -> RowIds:
        """Rows that people label to be measured on, in the order of asking."""
        return self._learner.roles.held_out

    @property
    def names(self) -> tuple[str, ...]:
        """All classes: those that the run began with, then those that people made."""
        return (*self.data.names, *self.store.classes())

    @property
    def ballots(self) -> Ballots:
        """What people said so far, in this process or another."""
        with self._counting:
            self._ballots.add(self.store.history(after=self._ballots.seen))
            return self._ballots

    @property
    def batches(self) -> list[RowIds]:
        """What was asked for so far, in this process or another."""
        with self._counting:
            for batch in self.store.batches(len(self._batches)):
                self._round_of.update(dict.fromkeys(batch.tolist(), len(self._batches)))
                self._batches.append(batch)
            return list(self._batches)

    @classmethod
    def begin(
        cls,
        folder: Path,
        config: RunConfig,
        cache: EmbeddingCache,
        names: Sequence[str] = (),
        *,
        device: str = "cpu",
        engine: str = "inline",
    ) -> Self:
        """Begin a run, or continue the one in `folder`; RunError where they do not fit.

        `names` are classes beside those of the cache. `device`, "cpu" or "cuda", is where the pool
        is scored, and `engine` by whom, this process or "ray"; heads that are weights ask for the
        same rows, others may swap two whose scores differ in the last bits of float32.
        EngineError where workers cannot do it.
        """
        data = scored_by(engine, begin(folder, config, cache, names), cache, device)
        run = cls(folder, config, data, device=device)
        run.cache = cache
        return run

    @classmethod
    def open(cls, folder: Path, *, device: str = "cpu") -> Self:
        """Continue the run in `folder` on the cache it began with; `device` as in `begin`.

        Raises RunError where there is none, CacheMissingError where its cache is gone.
        """
        stored = read(folder)
        cache = EmbeddingCache.open(Path(stored["cache"]))
        run = cls(folder, RunConfig(**stored["config"]), load(folder, cache), device=device)
        run.cache = cache
        return run

    def propose(self) -> RowIds:
        """Return the rows to label now, the most wanted first; empty when the run is over.

        Prepares a batch when the last one is complete. Asking again, in this process or another,
        gives the same.
        """
        batches, still = self.batches, self.open_rows()
        if not len(still):
            return self.prepare()
        # A row of an older batch is open again where somebody took an answer back.
        return batches[-1] if np.isin(still, batches[-1]).any() else still

    def open_rows(self) -> RowIds:
        """Return the rows that were asked for and are not settled, in the order of asking.

        Behind them those that somebody found, where more people are to look at each image.
        """
        ballots, batches = self.ballots, self.batches
        rows = np.concatenate([*batches, _volunteered(ballots, batches)])
        still = [ballots.standing(row) == OPEN for row in rows.tolist()]
        return rows[np.array(still, dtype=np.bool_)]

    def prepare(self, size: int | None = None) -> RowIds:
        """Choose one more batch, whether the last one is complete or not; empty when it is over.

        Fits, evaluates, scores and selects `size` rows, as many as a batch has where that is not
        given. What follows from the labels that are there at the beginning is stored before it is
        returned. A second process that asks meanwhile waits.
        """
        with FileLock(self.folder / "prepare.lock"):
            batches = self.batches
            if not batches:
                rows = self._learner.start()
                self.store.add_batch(0, rows, closed=None)
                return rows
            number = len(batches) - 1
            if self.closed():
                return NO_ROWS
            if len(self.open_rows()) and not len(self._left()):
                return NO_ROWS  # the last round waits for the last labels
            history = self._history(batches)
            if not self._learner.can_learn(history):
                rows = self._learner.more(history)
                self.store.add_batch(number + 1, rows, closed=None)
                return rows
            closed = self._learner.close(history, size)
            if not len(closed.batch) and len(self.open_rows()):
                return NO_ROWS  # the same
            closed.head.save(self.head_path(number))
            self.store.add_batch(number + 1, closed.batch, closed.round)
            return closed.batch

    def rehearse(self) -> None:
        """Do a round and forget it, so that what the first one pays for once is paid for.

        Kernels are loaded, the pool is read and whitened. Where there are too few labels, they are
        made up; nothing of it is stored.
        """
        batches = self.batches
        if not batches or len(self.names) < 2:
            return
        history = self._history(batches)
        if not self._learner.can_learn(history):
            made_up = [np.arange(len(batch)) % len(self.names) for batch in batches]
            history = history._replace(answers=made_up)
        if self._learner.can_learn(history):
            self._learner.close(history)

    def _history(self, batches: list[RowIds]) -> History:
        """Return what is known by now, for the learner."""
        with self._counting:
            ballots = self.ballots  # before the classes, for a label never precedes its class
            return self.history_of(batches, self.store.rounds(), ballots, len(self.names))

    def history_of(
        self, batches: list[RowIds], rounds: list[Round], ballots: Ballots, classes: int
    ) -> History:
        """Return what was known when these batches had been asked for and these rounds closed."""
        others = _volunteered(ballots, batches)
        return History(
            batches=batches,
            answers=[self._standing(ballots, batch.tolist()) for batch in batches],
            rounds=rounds,
            head=load_head(self.head_path(rounds[-1].round)) if rounds else None,
            others=others,
            other_answers=self._standing(ballots, others.tolist()),
            classes=classes,
            seen=ballots.seen,
        )

    @staticmethod
    def _standing(ballots: Ballots, rows: Sequence[int]) -> Labels:
        return np.array([ballots.standing(row) for row in rows], dtype=np.int64)

    def stopped(self) -> str | None:
        """Return in words why no more labels are asked for; None while there is more to do."""
        why = why_stop(self.store.rounds(), self.config.stop, self.config.rounds)
        if why or len(self.open_rows()) or len(self._left()):
            return why
        return "every image of the pool was asked for"

    def closed(self) -> bool:
        """Whether the last round is closed, so that no batch will follow."""
        return self.store.last_round() == len(self.batches) - 1

    def _left(self) -> RowIds:
        """Return the rows of the pool that were neither asked for nor labelled."""
        looked_at = [*self.batches, np.array(list(self.ballots.rows()), dtype=np.int64)]
        # Not `setdiff1d`: it looks for doubles in the pool, and every page that waits comes here.
        return self.pool[~np.isin(self.pool, np.concatenate(looked_at))]

    def labelled(self) -> tuple[RowIds, Labels]:
        """Return the rows whose label teaches, sorted, and their labels.

        Those are what people said, and what the cache knew where that counts.
        """
        batches = self.batches
        if not batches:
            return self.given, self.data.labels[self.given]
        rows, labels = self._learner.teaches(self._history(batches))
        order = np.argsort(rows, kind="stable")
        return rows[order], labels[order]

    def measured(self) -> tuple[RowIds, Labels]:
        """Return the rows that nobody learns from and whose label is known, and their labels."""
        labels = self.ballots.labels()
        told = [row for row in self.held_out.tolist() if row in labels]
        return (
            np.concatenate([self.test, np.array(told, dtype=np.int64)]),
            np.concatenate([self.data.labels[self.test], [labels[row] for row in told]]).astype(
                np.int64
            ),
        )

    def head(self) -> FittedHead | None:
        """Return the newest head; None before the first round is closed."""
        last = self.store.last_round()
        return None if last is None else load_head(self.head_path(last))

    def add_class(self, name: str, *, annotator: str) -> int:
        """Return the index of a class, which is made where it is new.

        The next head that is fitted knows it. Spaces around the name and case make no difference.
        Raises RunError for an empty name, and for one that is no text.
        """
        name = " ".join(name.split())
        if not name:
            raise RunError("a class needs a name, but it was empty")
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise RunError(f"the name {name!a} is no text: it holds half a character")
        with self._counting:
            names = self.names
            places = {known.casefold(): place for place, known in enumerate(names)}
            if name.casefold() not in places:
                self.store.add_class(len(self.data.names), name, annotator)
                return self.names.index(name)
            return places[name.casefold()]

    def record(
        self,
        rows: RowIds | Sequence[int],
        labels: Labels | Sequence[int],
        *,
        annotator: str,
        source: str,
        places: Sequence[int | None] | None = None,
    ) -> None:
        """Store labels for rows; they are on disk when the call returns.

        Where people answer, a label may be a mark of `labels.py`, and a row may be one of the pool
        that was not asked for, or for a decision one whose label the cache has. `places` say where
        the classes stood among suggestions, as in `Given`.

        Raises RunError, and stores none of them, unless each row may be labelled and has one class.
        """
        rows, labels = np.ravel(rows), np.ravel(labels)
        if len(rows) != len(labels):
            raise RunError(
                f"{len(rows)} rows, but {len(labels)} labels: expected one label for each row"
            )
        count = len(self.names)
        if len(labels) and labels.dtype.kind not in "iu":
            raise RunError(
                f"labels of type {labels.dtype}: expected whole numbers from 0 to "
                f"{count - 1}, the places of the class names"
            )
        newest = max(len(self.batches) - 1, 0)
        lowest = WITHDRAWN if self.config.people else 0
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            if row not in self._round_of and not self._may_volunteer(row, source):
                raise RunError(f"row {row} was never proposed in {self.folder}")
            if not lowest <= label < count:
                raise RunError(f"label {label} for row {row}, but there are {count} classes")
        self.store.record(
            rows.tolist(),
            labels.tolist(),
            rounds=[self._round_of.get(row, newest) for row in rows.tolist()],
            annotator=annotator,
            source=source,
            places=places,
        )

    def _may_volunteer(self, row: int, source: str) -> bool:
        """Whether somebody may say something about a row that was not asked for."""
        if not self.config.people:
            return False
        return _holds(self.pool, row) or (source == DECISION and _holds(self.given, row))

    def head_path(self, number: int) -> Path:
        """Return where the head of a closed round is kept."""
        return self.folder / "heads" / f"{number:03d}.safetensors"


def _volunteered(ballots: Ballots, batches: list[RowIds]) -> RowIds:
    """Return the rows, sorted, that people spoke of though they were not asked for."""
    asked = set(np.concatenate([*batches, NO_ROWS]).tolist())
    return np.array(sorted(ballots.rows() - asked), dtype=np.int64)


def _holds(rows: RowIds, row: int) -> bool:
    """Whether sorted rows hold one."""
    place = int(np.searchsorted(rows, row))
    return place < len(rows) and int(rows[place]) == row
