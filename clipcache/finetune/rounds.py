"""A run whose encoder is fine-tuned after every round, as the report did it, in one of two ways.

Fresh weights each round, or those of the last round trained further. The pool is embedded anew, and
the round fits its head, measures, scores and selects on the new vectors. That costs minutes where a
round on vectors that stay costs a fraction of a second; the folder of the run keeps them.

A killed run is repeated from what is on disk: a checkpoint appears whole, a cache goes on where it
was cut off, and a round that is closed is not done again.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from clipcache.arrays import RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.lesson import Lesson
from clipcache.classifier.taught import remember, rows_taught
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.finetune.checkpoint import write_checkpoint
from clipcache.finetune.crops import Album
from clipcache.finetune.finetune import (
    FinetuneOptions,
    Progress,
    embed_again,
    embedded_data,
    relearned,
    reopened,
    seen,
    trainable,
)
from clipcache.finetune.kept import Kept, Mode, Seconds
from clipcache.finetune.relisted import Relisted
from clipcache.finetune.tune import tune
from clipcache.images.base import Source
from clipcache.images.roots import Place
from clipcache.learner import History, Learner
from clipcache.people import images_place, source_of
from clipcache.photos import Photos
from clipcache.run import Run
from clipcache.run_config import RunConfig

SEEDS = 10**6
"""Seeds that a round may have."""


class TunedRun(Run):
    """A run that replays labels; the rows are those of the cache that it began with."""

    _mode: Mode
    _options: FinetuneOptions
    _progress: Progress
    _source: Source
    _kept: Kept
    _device: str

    @classmethod
    def begin_tuned(
        cls,
        folder: Path,
        config: RunConfig,
        cache: EmbeddingCache,
        mode: Mode,
        images: Place | None,
        options: FinetuneOptions | None = None,
        progress: Progress = lambda what, done, total: None,
        *,
        device: str = "cpu",
    ) -> Self:
        """Begin a run, or continue the one in `folder`, as `Run.begin`.

        `images` is where those of the cache are, as for `embed`; None for where they were last.

        Raises RunError also where the run was begun in another way, and where its rules look at how
        one head agrees with the next, or goes on from it: they are of different vectors.
        """
        if config.head_start == "continue" or "agreement" in config.stop:
            raise RunError(
                "--finetune gives each round vectors of its own, so that heads of two rounds "
                "cannot be compared: give --head-start fresh, and no --stop agreement"
            )
        options, place = options or FinetuneOptions(), images_place(folder, images)
        kept, how = Kept(folder), {"finetune": mode, "tune": str(options.tune.tune)}
        if kept.folder.exists() or (folder / "labels.sqlite").exists():
            kept.check(how)
        run = cls.begin(folder, config, cache, device=device)
        kept.begin(how)
        run._mode, run._options, run._progress = mode, options, progress
        run._source = source_of(run, place)
        run._kept, run._device = kept, device
        return run

    def prepare(self, size: int | None = None) -> RowIds:
        """Fine-tune on the labels so far, then do as any run does.

        Where they are all of one class, there is nothing to train on, and the round is one on the
        vectors of the cache.
        """
        number = len(self.batches) - 1
        if number < 0 or self.closed() or len(self.open_rows()):
            return super().prepare(size)
        several = len(np.unique(self.labelled()[1])) > 1
        data = self._tuned(number) if several else self.data
        self._learner = Learner(data, self.config, device=self._device)
        batch = super().prepare(size)
        if several:
            self._kept.forget_before(number)
        return batch

    def _history(self, batches: list[RowIds]) -> History:
        """Leave out the last round's head, which is one of other vectors."""
        return super()._history(batches)._replace(head=None)

    def _tuned(self, number: int) -> Dataset:
        """Return the data of the run as the encoder of this round sees it."""
        checkpoint, path = self._kept.checkpoint(number), self._kept.cache(number)
        began = time.perf_counter()
        if not checkpoint.exists():
            self._train(number, checkpoint)
            self._kept.timed(Seconds(number, time.perf_counter() - began))
        began = time.perf_counter()
        encoder = reopened(checkpoint, self.cache.identity, self._options.device)
        source = Relisted.of(self, self._source)
        embed_again(self.cache, source, encoder, path, self._options, self._progress)
        remember(path, np.union1d(rows_taught(self.cache), list(self.ballots.labels())))
        trained = self._kept.seconds_of(number)
        self._kept.timed(replace(trained, embed=time.perf_counter() - began))
        return self._same_rows(embedded_data(self, path))

    def _same_rows(self, data: Dataset) -> Dataset:
        """Return the run's data with new vectors; RunError where an image has none any more."""
        rows, found = (np.union1d(d.pool, d.test) for d in (self.data, data))
        lost = np.setdiff1d(rows, found)
        if len(lost):
            key = self.cache.keys()[lost[0]]
            raise RunError(
                f"{len(lost)} images of the run cannot be used any more, the first is {key}; bring "
                "them back to where --images leads"
            )
        return replace(self.data, features=data.features)

    def _train(self, number: int, out: Path) -> None:
        """Write the encoder of a round."""
        lesson, options = Lesson.of(self), self._options
        last = self._kept.last_before(number)
        if self._mode == "continue" and last is not None:
            lesson = relearned(lesson, embedded_data(self, self._kept.cache(last)), self)
            identity = replace(self.cache.identity, dtype="float32")
            encoder = reopened(self._kept.checkpoint(last), identity, options.device)
        else:
            encoder = trainable(self, options)
        photos = Photos(self._source, self.cache.keys().tolist())
        album = Album(photos, encoder.identity.image_size)
        lesson, _, _ = seen(lesson, album, options.tune.workers)
        # Rounds differ in what they show of an image, runs with one seed do not.
        seeded = replace(options.tune, seed=options.tune.seed + SEEDS * (number + 1))
        tune(encoder, lesson, album, seeded, lambda done, of: self._progress("steps", done, of))
        write_checkpoint(out, encoder.model)
