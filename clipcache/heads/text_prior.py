"""A linear head that begins as zero-shot CLIP and that only labels can move.

The penalty pulls towards the class names' vectors instead of towards zero: with no labels the head
is zero-shot CLIP, with many it is nearly a linear probe. Measured on real CLIP features with real
names, at 1 to 200 labels:

- Rows are taken relative to the mean of the pool, not of the labels, which with few of them is just
  their own place.
- The bias is held tighter than a weight. It moves a class on all images at once, and the labels of
  one batch say little about how frequent classes are: with a free bias one label in a long tail
  cost up to 15 points of accuracy, with this one at most 2.
- The usual strength is given up only for a stronger one that is *clearly* better on labels held
  out. To take whichever looked best was worse: with fewer than 20 labels it often fell back on the
  names alone, when labels did help. Labels of which a third or more are wrong are what makes
  another strength clearly better.

References: Huang et al. 2024, "LP++: a surprisingly strong linear probe for few-shot CLIP";
Silva-Rodriguez et al. 2024, "A closer look at the few-shot adaptation of large vision-language
models" (CLAP: penalties towards the zero-shot weights, no validation set).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clipcache.arrays import Float64, Labels, RowIds, Vectors
from clipcache.heads.base import (
    LinearWeights,
    check_training_set,
    clearly_best,
    mean_image,
    text_weights,
)
from clipcache.logistic import minimise, penalised_loss, row_space
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["TextPrior"]


@dataclass(frozen=True)
class TextPrior:
    """Minimises cross-entropy summed over labels + (|W - W_text|^2 + stiffness |b|^2) / (2 c).

    The logits are x W_text + (x - m) (W - W_text) + b, m the mean of the pool. A class whose name
    has no vector begins as `text_weights` says.
    """

    needs_text: ClassVar[bool] = True

    strengths: tuple[float, ...] = (30.0, 3.0, 0.3, 0.0)
    """Values of c to choose from, the usual one first; 0 is zero-shot CLIP itself."""
    stiffness: float = 16.0
    """How much more a bias costs than a weight."""
    folds: int = 5
    """Parts of the labels, each held out once to choose c."""

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
        """Return the fitted weights, without a label those of zero-shot CLIP.

        RunError where the cache has no class names. The optimum is unique, so `start` is not used.
        """
        if not len(y):
            return text_weights(text, n_classes, x, y, head="text_prior")
        check_training_set(x, y, n_classes)
        center = mean_image(x, pool)

        def solve(rows: RowIds, c: float) -> LinearWeights:
            prior = text_weights(text, n_classes, x[rows], y[rows], pool=pool, head="text_prior")
            return self._move(prior, x[rows], y[rows], center, c) if c else prior

        c = self._choose(solve, x, y, rng)
        return solve(np.arange(len(y)), c)

    def _choose(
        self,
        solve: Callable[[RowIds, float], LinearWeights],
        x: Vectors,
        y: Labels,
        rng: np.random.Generator,
    ) -> float:
        """Return the strength that holds for labels which the fit has not seen."""
        if len(y) < 2 or len(self.strengths) < 2:
            return self.strengths[0]
        right = np.zeros((len(self.strengths), len(y)), dtype=np.bool_)
        fold = rng.permutation(np.arange(len(y)) % self.folds)
        for held in (np.flatnonzero(fold == f) for f in range(min(self.folds, len(y)))):
            kept = np.setdiff1d(np.arange(len(y)), held)
            for i, c in enumerate(self.strengths):
                right[i, held] = solve(kept, c).logits(x[held]).argmax(axis=1) == y[held]
        return self.strengths[clearly_best(right)]

    def _move(
        self, prior: LinearWeights, x: Vectors, y: Labels, center: Float64, c: float
    ) -> LinearWeights:
        """Return the optimum for (l, d) rows; what moves is measured from `center`."""
        basis = row_space(x - center)  # (d, r)
        tight = self.stiffness**-0.5  # a smaller input needs a larger, dearer weight
        rows = np.hstack([(x - center) @ basis, np.full((len(x), 1), tight)])  # (l, r + 1)
        offset = x.astype(np.float64) @ prior.weight + prior.bias  # (l, classes)
        w = minimise(
            lambda flat: penalised_loss(flat, rows, y, c, offset),
            np.zeros((rows.shape[1], len(prior.bias))),
        )
        delta = basis @ w[:-1]
        bias = prior.bias + tight * w[-1] - center @ delta
        return LinearWeights((prior.weight + delta).astype(np.float32), bias.astype(np.float32))
