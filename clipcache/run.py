"""A run: propose a batch, record its labels, and again.

One state machine for every driver (replayed labels, people); all of its state is in its folder.
"""

import time
from pathlib import Path
from typing import Self

import numpy as np

from clipcache import registry, scoring
from clipcache.arrays import Labels, RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.features import Rows
from clipcache.heads.base import FittedHead, Head, LinearWeights
from clipcache.labels import LabelStore, Round
from clipcache.pool import Pool
from clipcache.run_folder import RunConfig, begin, load, read
from clipcache.starts import choose_start
from clipcache.strategies.base import Strategy
from clipcache.whitening import PoolSample

EVALUATION, START, SUBSAMPLE, SELECTION, FIT, SAMPLE = range(6)
"""What a random generator is for: each purpose and round has its own, so that runs with one seed
share their start and their evaluation images, whatever else differs."""


class Run:
    """An opened run."""

    def __init__(
        self, folder: Path, config: RunConfig, data: Dataset, *, device: str = "cpu"
    ) -> None:
        self.folder = folder
        self.config = config
        self.data = data
        self._features = data.features if device == "cpu" else _on_device(data.features, device)
        (folder / "heads").mkdir(exist_ok=True)
        self.store = LabelStore(folder / "labels.sqlite")
        self._strategy: Strategy = registry.load("strategies", config.strategy)()
        self._head: Head = registry.load("heads", config.head)()
        self.pool = data.pool[data.labels[data.pool] >= 0]
        self._sample = PoolSample.draw(data.features, self.pool, rng=self._rng(SAMPLE, 0))
        test = data.test[data.labels[data.test] >= 0]
        size = len(test) if config.eval_size is None else config.eval_size
        self.test = np.sort(self._rng(EVALUATION, 0).choice(test, size=size, replace=False))

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
            rows = self._start()
            self.store.add_batch(0, rows, closed=None)
            return rows
        if not all(row in labels for row in batches[-1].tolist()):
            return batches[-1]
        if len(self.store.rounds()) == len(batches):
            return batches[-1][:0]
        rows, closed = self._close(batches, labels)
        self.store.add_batch(len(batches), rows, closed)
        return rows

    def record(self, rows: RowIds, labels: Labels, *, annotator: str, source: str) -> None:
        """Store labels for proposed rows; they are on disk when the call returns."""
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

    def _start(self) -> RowIds:
        labels = self.data.labels[self.pool]
        rng = self._rng(START, 0)
        return choose_start(
            self.config.init, self.pool, labels, self.data.names, self._sample, rng=rng
        )

    def _close(self, batches: list[RowIds], labels: dict[int, int]) -> tuple[RowIds, Round]:
        """Fit and evaluate on the labels so far, then choose the next batch, if there is one."""
        number = len(batches) - 1
        began = time.perf_counter()
        head = self._fit(batches, labels)
        head.save(self.head_path(number))
        fitted = time.perf_counter()
        shown = min(5, len(self.data.names))
        guesses, _ = scoring.shortlist(self.data.features, self.test, head, shown)
        right = guesses == self.data.labels[self.test][:, None]
        asked = np.concatenate(batches)
        known = np.array([labels[row] for row in asked.tolist()])
        unlabeled = np.setdiff1d(self.pool, asked)
        pool = Pool(self._features, head, unlabeled, asked, known, self._sample)
        rows = asked[:0]
        selecting = time.perf_counter()
        if number < self.config.rounds:
            rows = self._select(pool, len(batches))
        selected = time.perf_counter()
        return rows, Round(
            round=number,
            labels=len(labels),
            top1=float(right[:, 0].mean()),
            top5=float(right.any(axis=1).mean()),
            fit_seconds=fitted - began,
            score_seconds=pool.clock.seconds,
            select_seconds=selected - selecting - pool.clock.seconds,
        )

    def _fit(self, batches: list[RowIds], labels: dict[int, int]) -> FittedHead:
        rows = batches[-1] if self.config.train_on == "latest" else np.concatenate(batches)
        number = len(batches) - 1
        start = None
        if self.config.head_start == "continue" and number:
            start = LinearWeights.load(self.head_path(number - 1))
        return self._head.fit(
            self.data.features[rows].astype(np.float32),
            np.array([labels[row] for row in rows.tolist()]),
            n_classes=len(self.data.names),
            text=self.data.text,
            rng=self._rng(FIT, number),
            start=start,
            pool=self._sample,
        )

    def _select(self, pool: Pool, number: int) -> RowIds:
        if self.config.subsample is not None:
            size = min(self.config.subsample, len(pool.unlabeled))
            rng = self._rng(SUBSAMPLE, number)
            pool = pool.restrict(rng.choice(pool.unlabeled, size=size, replace=False))
        return self._strategy.select(pool, self.config.batch, rng=self._rng(SELECTION, number))

    def head_path(self, number: int) -> Path:
        """Return where the head of a closed round is kept."""
        return self.folder / "heads" / f"{number:03d}.safetensors"

    def _rng(self, purpose: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.config.seed, purpose, number))


def _on_device(features: Rows, device: str) -> Rows:
    from clipcache.device import OnDevice  # brings torch, which a run on processors does without

    return OnDevice(features, device)
