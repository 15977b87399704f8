"""What a run is for: a head that has learned from all labels, and is as sure as it is right.

How sure to be is found on labels that the head has not learned from. Held-out ones are a fair
sample, and where there are `ENOUGH` of them, or more than others, they decide alone. Otherwise each
labelled row is judged by a head that was fitted without it. Rows that a strategy chose are harder
than the pool, so the second way is mostly on the cautious side: less is promised than kept, at the
price of fewer answers. Not so where the encoder itself was trained on these labels, which is then
told.

Five sets of real features (`bench/classifier.py`), some 240 labels chosen by the default strategy,
three seeds: calibration error on test rows in points, and in brackets by how much the head was
surer than right, on average and at most over sets.

| head | as it was fitted | learned from labels by cross-validation | from 50 held-out labels |
|---|---|---|---|
| `auto` | 5.5 (+1.1, +14.3) | 8.3 (-5.3, +4.6) | 4.3 (-0.6, +1.2) |
| `transductive` | 10.7 (+6.5, +23.4) | 8.6 (-6.9, -0.9) | 5.2 (-0.9, +2.4) |
| `linear` | 25.2 (-25.2, -11.9) | 4.7 (+0.1, +6.0) | 4.6 (-0.5, +1.6) |

`auto` is calibrated by its own cross-validation, so a temperature does not lower its error; it only
makes the sets milder on which the head was far too sure.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from clipcache.arrays import Logits, Vectors
from clipcache.classifier.calibration import fit_temperature
from clipcache.classifier.lesson import Lesson
from clipcache.classifier.taught import count_taught
from clipcache.heads.base import FittedHead, LinearWeights
from clipcache.projection import HasLogits
from clipcache.run import Run
from clipcache.run_config import CALIBRATION

ENOUGH = 30
"""Held-out labels from which on they decide alone; fewer do where there are fewer of the others."""
MOST = 4096
"""Held-out labels that are looked at, at random: more would not move one number."""


@dataclass(frozen=True)
class Calibration:
    """How sure a classifier is of itself, and where that was learned."""

    temperature: float
    """What logits are divided by."""
    labels: int
    """How many labels it was found on."""
    held_out: bool
    """Whether these were a fair sample that nobody learned from."""
    taught: int = 0
    """How many of them the encoder was trained on, so that it may be too sure."""

    def __str__(self) -> str:
        if not self.labels:
            return "not calibrated: no label is held out, and no class has two"
        kind = "held-out labels" if self.held_out else "labels by cross-validation"
        found = f"temperature {self.temperature:.2f}, found on {self.labels:,} {kind}"
        if self.taught:
            return (
                f"{found}; the encoder was trained on {self.taught:,} of them, so it may be too "
                f"sure: hold out {ENOUGH} others"
            )
        return found if self.held_out else f"{found}, cautiously"


@dataclass(frozen=True, eq=False)
class Classifier:
    """A head and what its columns mean."""

    head: FittedHead
    names: tuple[str, ...]
    """(c,) classes."""
    labels: int
    """How many it has learned from."""
    calibration: Calibration

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return the classifier that all labels of a run make; RunError where there is none yet."""
        lesson = Lesson.of(run)
        head = lesson.fit()
        return cls(head, lesson.names, len(lesson.rows), _calibrate(run, lesson, head))

    @property
    def calibrated(self) -> HasLogits:
        """The head with calibrated logits, for `scoring`: weights, where the head is weights."""
        t = np.float32(self.calibration.temperature)
        if isinstance(self.head, LinearWeights):
            return LinearWeights(self.head.weight / t, self.head.bias / t)
        return _Tempered(self.head, t)


@dataclass(frozen=True, eq=False)
class _Tempered:
    head: HasLogits
    temperature: np.float32

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) float32 for (b, d) float32 unit rows."""
        logits: Logits = self.head.logits(block) / self.temperature
        return logits


def _calibrate(run: Run, lesson: Lesson, head: FittedHead) -> Calibration:
    rows, labels = run.measured()
    judged = None if len(rows) >= ENOUGH else lesson.out_of_fold()
    if judged is None or len(rows) > len(judged.places):
        rng = run.config.rng(CALIBRATION, 0)
        some = np.sort(rng.choice(len(rows), size=min(len(rows), MOST), replace=False))
        rows, labels = rows[some], labels[some]
        logits, held_out = head.logits(run.data.features[rows].astype(np.float32)), True
    else:
        places, logits = judged
        rows, labels, held_out = lesson.rows[places], lesson.y[places], False
    taught = count_taught(run.cache, rows)
    return Calibration(fit_temperature(logits, labels), len(labels), held_out, taught)
