"""The default head: what the pool teaches and what labels alone say, mixed as labels advise.

Discriminant analysis on a sample of the pool needs several times fewer labels than a probe where
classes are clusters, and is led astray where they are not (a long tail, classes that overlap). So
both are fitted, labelled rows that were held out say which mixture is likeliest, and the same rows
say how sure it may be of itself. A mixture of weights is a weight matrix.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

from clipcache.arrays import Labels, Logits, Vectors
from clipcache.discriminant import Discriminant
from clipcache.folds import folds
from clipcache.heads.base import LinearWeights, Probe, check_training_set
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["Auto"]

MIXTURES = ((1, 0), (1, 1), (1, 3), (1, 10), (0, 1))
"""Weights of the pool's rule and of the probe; the first where too little can be held out."""
SCALES = tuple(np.geomspace(0.03, 3.0, 14).tolist())
"""What logits are multiplied with, to be as sure as they are right."""
USUAL_SCALE = 0.35
FEWEST = 8
"""Held-out rows that are needed to prefer one mixture to another."""


class HeldOut(NamedTuple):
    """What is said of rows whose labels were kept from whoever says it."""

    rule: Logits
    probe: Logits
    labels: Labels


@dataclass(frozen=True)
class Auto:
    """A mixture of `transductive` and a probe, chosen by cross-validation on the labels.

    The probe is `text_prior` where class names have vectors, else `linear`.
    """

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
        """Return the mixture as weights; without a pool, the probe alone."""
        check_training_set(x, y, n_classes)
        recipe = Probe(n_classes, text, rng, pool)
        probe = recipe.fit(x, y, start)
        if pool is None or not len(pool.vectors):
            return probe
        rule = Discriminant().fit(x, y, pool, probe, recipe.known(y))
        held = []
        for kept, out in folds(y, self.folds, rng=rng):
            less = recipe.fit(x[kept], y[kept], probe)
            # The space stays that of all labels: it is the pool's far more than that of a label.
            same = Discriminant().fit_in(
                rule.space, x[kept], y[kept], pool, less, recipe.known(y[kept])
            )
            held.append(HeldOut(x[out] @ same.weight + same.bias, less.logits(x[out]), y[out]))
        (a, b), scale = _advise(held)
        weight = scale * (a * rule.weight + b * probe.weight)
        bias = scale * (a * rule.bias + b * probe.bias)
        return LinearWeights(weight.astype(np.float32), bias.astype(np.float32))


def _advise(held: list[HeldOut]) -> tuple[tuple[int, int], float]:
    """Return the mixture and the scale under which the held-out labels are likeliest."""
    if sum(len(fold.labels) for fold in held) < FEWEST:
        return MIXTURES[0], USUAL_SCALE
    rule, probe, labels = (np.concatenate(parts) for parts in zip(*held, strict=True))
    each = np.arange(len(labels))

    def loss(choice: tuple[tuple[int, int], float]) -> float:
        (a, b), scale = choice
        return -float(log_softmax(scale * (a * rule + b * probe), axis=1)[each, labels].mean())

    return min(((mixture, scale) for mixture in MIXTURES for scale in SCALES), key=loss)
