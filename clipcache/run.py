"""A run: propose a batch, record its labels, and again.

One state machine for every driver (replayed labels, people); all of its state is in its folder.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np

from clipcache.arrays import Labels, RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.heads.base import load_head
from clipcache.labels import LabelStore
from clipcache.learner import History, Learner
from clipcache.run_folder import RunConfig, begin, load, read
from clipcache.stopping import why_stop


class Run:
    """An opened run."""

    def __init__(
        self, folder: Path, config: RunConfig, data: Dataset, *, device: str = "cpu"
    ) -> None:
        self.folder = folder
        self.config = config
        self.data = data
        (folder / "heads").mkdir(exist_ok=True)
        self.store = LabelStore(folder / "labels.sqlite")
        self._learner = Learner(data, config, device=device)

    @property
    def pool(self) -> RowIds:
        """Sorted rows that may be labelled."""
        return self._learner.pool

    @property
    def test(self) -> RowIds:
        """Sorted rows that accuracy is measured on."""
        return self._learner.test

    @classmethod
    def begin(
        cls, folder: Path, config: RunConfig, cache: EmbeddingCache, *, device: str = "cpu"
    ) -> Self:
        """Begin a run, or continue the one in `folder`; RunError where they do not fit.

        `device`, "cpu" or "cuda", is where the pool is scored; linear heads ask for the same rows.
        """
        return cls(folder, config, begin(folder, config, cache), device=device)

    @classmethod
    def open(cls, folder: Path, *, device: str = "cpu") -> Self:
        """Continue the run in `folder` on the cache it began with; `device` as in `begin`.

        Raises RunError where there is none, CacheMissingError where its cache is gone.
        """
        stored = read(folder)
        cache = EmbeddingCache.open(Path(stored["cache"]))
        return cls(folder, RunConfig(**stored["config"]), load(folder, cache), device=device)

    def propose(self) -> RowIds:
        """Return the rows to label now, the most wanted first; empty when the run is over.

        Fits, evaluates, scores and selects when the last batch is complete. The batch is stored
        before it is returned, so that asking again, in this process or another, gives the same.
        """
        batches, labels = self.store.batches(), self.store.current()
        if not batches:
            rows = self._learner.start()
            self.store.add_batch(0, rows, closed=None)
            return rows
        if not all(row in labels for row in batches[-1].tolist()):
            return batches[-1]
        if len(self.store.rounds()) == len(batches):
            return batches[-1][:0]
        number = len(batches) - 1
        answers = [np.array([labels[row] for row in batch.tolist()]) for batch in batches]
        before = load_head(self.head_path(number - 1)) if number else None
        closed = self._learner.close(History(batches, answers, self.store.rounds(), before))
        closed.head.save(self.head_path(number))
        self.store.add_batch(number + 1, closed.batch, closed.round)
        return closed.batch

    def stopped(self) -> str | None:
        """Return in words why no more labels are asked for; None while there is more to do."""
        return why_stop(self.store.rounds(), self.config.stop, self.config.rounds)

    def record(
        self,
        rows: RowIds | Sequence[int],
        labels: Labels | Sequence[int],
        *,
        annotator: str,
        source: str,
    ) -> None:
        """Store labels for proposed rows; they are on disk when the call returns.

        Raises RunError, and stores none of them, unless each row was proposed and has one class.
        """
        rows, labels = np.ravel(rows), np.ravel(labels)
        if len(rows) != len(labels):
            raise RunError(
                f"{len(rows)} rows, but {len(labels)} labels: expected one label for each row"
            )
        if len(labels) and labels.dtype.kind not in "iu":
            raise RunError(
                f"labels of type {labels.dtype}: expected whole numbers from 0 to "
                f"{len(self.data.names) - 1}, the places of the class names"
            )
        batches = self.store.batches()
        round_of = {row: r for r, batch in enumerate(batches) for row in batch.tolist()}
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            if row not in round_of:
                raise RunError(f"row {row} was never proposed in {self.folder}")
            if not 0 <= label < len(self.data.names):
                raise RunError(
                    f"label {label} for row {row}, but there are {len(self.data.names)} classes"
                )
        rounds = [round_of[row] for row in rows.tolist()]
        self.store.record(rows, labels, rounds=rounds, annotator=annotator, source=source)

    def head_path(self, number: int) -> Path:
        """Return where the head of a closed round is kept."""
        return self.folder / "heads" / f"{number:03d}.safetensors"
