"""Linear discriminant analysis that a whole pool teaches, not only the labelled rows.

Labels say which cluster is what, the pool says where the clusters lie. It is fitted by expectation
maximisation, with what makes it work at one label a class:

- Classes are directions. In a space whitened by the spread *within* classes, rows and class means
  have length 1, so a mean of one label competes with a mean of a thousand rows on equal terms. (The
  textbook's -|mean|^2 / 2 favours classes with many rows, whose means are shorter since noise
  averages out of them; with it, accuracy is below that of a linear probe.)
- The pool counts as so many labels of each class, however large it is, because its mistakes do not
  average out as noise does.

The rule that comes out is a weight matrix.

References: McLachlan 1975 (an iterated discriminant rule); Nigam et al. 2000 (EM with labelled and
unlabelled rows, weighted); Wang et al. 2024, "A hard-to-beat baseline for training-free CLIP-based
adaptation" (discriminant analysis on CLIP's vectors); Zanella et al. 2024, "Boosting
vision-language models with transduction".
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clipcache.arrays import Float64, Labels, Probs, Vectors
from clipcache.whitening import PoolSample, Whitening, unit


class Space(NamedTuple):
    """Where distances are measured: a pool, whitened."""

    whitening: Whitening
    z: Vectors
    """(p, d) float32 unit rows: the pool's."""


class Fitted(NamedTuple):
    """A rule, and the space that it was found in."""

    weight: Vectors
    """(d, c) float32."""
    bias: Vectors
    """(c,) float32."""
    space: Space
    """Whitened by the spread within classes."""


@dataclass(frozen=True)
class Discriminant:
    """How labels and pool are weighed; `fit` does it."""

    scale: float = 30.0
    """What a cosine is multiplied with to give a logit."""
    strength: float = 10.0
    """The pool counts as at most so many labels of each class, and a row as at most one."""
    rounds: int = 5
    """How often the spread within classes is estimated."""
    steps: int = 2
    """Steps of expectation maximisation in each round."""

    def fit(self, x: Vectors, y: Labels, n_classes: int, pool: PoolSample) -> Fitted:
        """Fit to (l, d) labelled rows and at least one row of a pool.

        A class without a label is never predicted: its weights are 0 and its bias is very low.
        """
        space = Space(pool.whitening, pool.whitened)
        sums = _sums(y, space.whitening(x))
        means, shares = self._maximise(unit(sums), sums, space.z, self.steps)
        for _ in range(self.rounds - 1):
            whitening = Whitening.of(pool.mean, _within(pool, shares), pool.ridge)
            space = Space(whitening, whitening(pool.vectors))
            sums = _sums(y, whitening(x))
            means = self._means(sums, space.z, shares)
            means, shares = self._maximise(means, sums, space.z, self.steps)
        return self._fold(space, means, y, n_classes, pool)

    def fit_in(
        self, space: Space, x: Vectors, y: Labels, n_classes: int, pool: PoolSample
    ) -> Fitted:
        """Fit to other labels in a space that is known already: the means alone, far quicker."""
        sums = _sums(y, space.whitening(x))
        means, _ = self._maximise(unit(sums), sums, space.z, 3 * self.steps)
        return self._fold(space, means, y, n_classes, pool)

    def _maximise(
        self, means: Vectors, sums: Vectors, z: Vectors, steps: int
    ) -> tuple[Vectors, Probs]:
        for _ in range(steps):
            shares = self._shares(z, means)
            means = self._means(sums, z, shares)
        return means, shares

    def _shares(self, z: Vectors, means: Vectors) -> Probs:
        """Return how much of each row belongs to each class: (p, k), rows add up to 1."""
        shares: Probs = z @ (means.T * np.float32(self.scale))
        shares -= shares.max(axis=1, keepdims=True)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def _means(self, sums: Vectors, z: Vectors, shares: Probs) -> Vectors:
        """Return (k, d) unit means of labels and pool."""
        counts = shares.sum(axis=0)
        weight = np.minimum(self.strength / np.maximum(counts, 1e-9), 1)
        return unit(sums + weight[:, None] * (shares.T @ z))

    def _fold(
        self, space: Space, means: Vectors, y: Labels, n_classes: int, pool: PoolSample
    ) -> Fitted:
        """Return the rule as weights on plain vectors.

        Whitened rows are not scaled to length 1 one by one, which no matrix can do, but all by
        their usual length: that changes how sure the head is of a row, never which class is first.
        """
        matrix = space.whitening.matrix
        length = np.sqrt((matrix * (pool.covariance @ matrix)).sum()) or 1.0
        known = np.unique(y)
        weight = np.zeros((means.shape[1], n_classes), dtype=np.float32)
        bias = np.full(n_classes, -3 * self.scale, dtype=np.float32)
        weight[:, known] = np.float32(self.scale / length) * matrix @ means.T
        bias[known] = -pool.mean @ weight[:, known]
        return Fitted(weight, bias, space)


def _sums(y: Labels, z: Vectors) -> Vectors:
    """Return the sum of the rows of each class that has any: (k, d), in the order of classes."""
    known, place = np.unique(y, return_inverse=True)
    sums: Vectors = np.eye(len(known), dtype=np.float32)[:, place] @ z
    return sums


def _within(pool: PoolSample, shares: Probs) -> Float64:
    """Return the (d, d) covariance within classes: all of it less that of the class means."""
    x = pool.vectors - pool.mean
    sums = shares.T @ x / np.sqrt(np.maximum(shares.sum(axis=0), 1e-9))[:, None]  # (k, d)
    between: Float64 = (sums.T @ sums).astype(np.float64) / len(x)
    return pool.covariance - between
