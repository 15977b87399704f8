"""The default head: the pool's lesson and a linear probe, mixed as the labels themselves advise.

Discriminant analysis on the whole pool needs several times fewer labels than a probe where classes
are clusters, and is led astray where they are not (a long tail, classes that overlap). So both are
fitted, labelled rows that were held out say which mixture is likeliest, and the same rows say how
sure it may be of itself. A mixture of weights is a weight matrix.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

from clipcache import registry
from clipcache.arrays import Labels, Logits, Vectors
from clipcache.discriminant import Discriminant
from clipcache.heads.base import Head, LinearWeights, check_training_set
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["Auto"]

MIXTURES = ((1, 0), (1, 1), (1, 3), (1, 10), (0, 1))
"""Weight of the pool's head and of the probe; the second is taken where nothing can be held out."""
SCALES = np.geomspace(0.03, 3.0, 14)
"""What logits are multiplied with, to be as sure as they are right."""
FEWEST = 8
"""Held-out rows that are needed to prefer one mixture to another."""


class HeldOut(NamedTuple):
    """What both heads say of rows whose labels they have not seen."""

    taught: Logits
    alone: Logits
    labels: Labels


@dataclass(frozen=True)
class Auto:
    """A mixture of `transductive` and `linear`, chosen by cross-validation on the labels."""

    folds: int = 5

    def fit(
        self,
        x: Vectors,
        y: Labels,
        *,
        n_classes: int,
        text: LabelText | None,
        rng: np.random.Generator,
        start: LinearWeights | None = None,
        pool: PoolSample | None = None,
    ) -> LinearWeights:
        """Return the mixture as weights; without a pool, the linear probe alone."""
        check_training_set(x, y, n_classes)
        linear: Head = registry.load("heads", "linear")()

        def probe(rows: Labels, start: LinearWeights | None) -> LinearWeights:
            head = linear.fit(
                x[rows], y[rows], n_classes=n_classes, text=text, rng=rng, start=start
            )
            assert isinstance(head, LinearWeights)
            return head

        everything = np.arange(len(y))
        alone = probe(everything, start)
        if pool is None or not len(pool.vectors):
            return alone
        taught = Discriminant().fit(x, y, n_classes, pool)
        held: list[HeldOut] = []
        for rest, out in self._split(y, rng):
            # The space stays that of all labels: it is the pool's far more than that of a label.
            known = Discriminant().fit_in(taught.space, x[rest], y[rest], n_classes, pool)
            without = probe(rest, alone)
            held.append(HeldOut(x[out] @ known.weight + known.bias, without.logits(x[out]), y[out]))
        (a, b), scale = _advise(held)
        weight = scale * (a * taught.weight + b * alone.weight)
        bias = scale * (a * taught.bias + b * alone.bias)
        return LinearWeights(weight.astype(np.float32), bias.astype(np.float32))

    def _split(self, y: Labels, rng: np.random.Generator) -> Iterator[tuple[Labels, Labels]]:
        """Yield (kept, held out) places, each class spread over the folds.

        Nothing is held out of a class with one label: nobody could know it without that.
        """
        places = rng.permutation(len(y))
        places = places[np.bincount(y)[y[places]] > 1]
        places = places[np.argsort(y[places], kind="stable")]
        for number in range(min(self.folds, len(places))):
            out = places[number :: self.folds]
            yield np.setdiff1d(np.arange(len(y)), out), out


def _advise(held: list[HeldOut]) -> tuple[tuple[int, int], float]:
    """Return the mixture and the scale under which the held-out labels are likeliest."""
    labels = np.concatenate([fold.labels for fold in held]) if held else np.empty(0, dtype=np.int64)
    if len(labels) < FEWEST:
        return MIXTURES[1], 0.2
    taught = np.vstack([fold.taught for fold in held])
    alone = np.vstack([fold.alone for fold in held])
    each = np.arange(len(labels))

    def loss(mixture: tuple[int, int], scale: float) -> float:
        logits = scale * (mixture[0] * taught + mixture[1] * alone)
        return -float(log_softmax(logits, axis=1)[each, labels].mean())

    choices = [(mixture, scale) for mixture in MIXTURES for scale in SCALES.tolist()]
    return min(choices, key=lambda choice: loss(*choice))
