"""What the head of a run learns from: all labels so far, and how the images of its pool lie."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from clipcache import registry
from clipcache.arrays import Labels, RowIds, Vectors
from clipcache.errors import RunError
from clipcache.folds import OutOfFold, out_of_fold
from clipcache.heads.base import FittedHead, Head
from clipcache.run import Run
from clipcache.run_config import FIT, SAMPLE
from clipcache.text import LabelText
from clipcache.threads import one_thread
from clipcache.whitening import PoolSample


@dataclass(frozen=True, eq=False)
class Lesson:
    """Labels, and the recipe of the head that learns them."""

    rows: RowIds
    """(l,) int64, sorted."""
    x: Vectors = field(repr=False)
    """(l, d) float32."""
    y: Labels
    """(l,) int64 in [0, c)."""
    names: tuple[str, ...]
    """c classes, those that people made among them."""
    text: LabelText | None = field(repr=False)
    head: Head
    pool: PoolSample = field(repr=False)
    seed: int

    @classmethod
    def of(cls, run: Run) -> Self:
        """Gather what a run knows; RunError where it has no label yet, or a single class."""
        rows, y = run.labelled()
        data, names = run.data, run.names
        if not len(rows) or len(names) < 2:
            raise RunError(
                f"{run.folder} has {len(rows)} labels and {len(names)} classes: expected at least "
                "one label and two classes; label images first"
            )
        rng = run.config.rng(SAMPLE, 0)
        return cls(
            rows=rows,
            x=data.features[rows].astype(np.float32),
            y=y,
            names=names,
            text=data.text and data.text.of(names),
            head=registry.load("heads", run.config.head)(),
            pool=PoolSample.draw(data.features, data.pool, len(names), rng=rng),
            seed=run.config.seed,
        )

    def fit(self, places: RowIds | None = None) -> FittedHead:
        """Return the head fitted on all labels, or on those at some places; it knows c classes."""
        part = slice(None) if places is None else places
        with one_thread():  # sums depend on the number of threads, and answers should not
            return self.head.fit(
                self.x[part],
                self.y[part],
                n_classes=len(self.names),
                text=self.text,
                rng=np.random.default_rng((self.seed, FIT, len(self.rows))),
                pool=self.pool,
            )

    def out_of_fold(self) -> OutOfFold:
        """Return what heads say of the labelled rows that they have not seen."""
        rng = np.random.default_rng((self.seed, FIT, len(self.rows), 1))
        return out_of_fold(self.fit, self.x, self.y, rng=rng)
