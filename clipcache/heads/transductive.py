"""A head that the whole pool teaches: labels say which cluster is what, the pool where they lie.

Semi-supervised linear discriminant analysis, fitted by expectation maximisation, with what makes it
work at one label a class:

- Classes are directions. In a space whitened by the spread *within* classes, rows and class means
  have length 1, so a mean of one label competes with a mean of a thousand rows on equal terms. (The
  textbook's -|mean|^2 / 2 favours classes with many rows, whose means are shorter: noise averages
  out of them. With it, accuracy is lower than that of a linear probe.)
- The pool counts as so many labels a class, however large it is, because its mistakes do not
  average out as noise does.

The result is a weight matrix: scoring and saving treat it as any linear head.

References: McLachlan 1975 (an iterated discriminant rule); Nigam et al. 2000 (EM with labelled and
unlabelled rows, weighted); Wang et al. 2024, "A hard-to-beat baseline for training-free CLIP-based
adaptation" (discriminant analysis on CLIP's vectors); Zanella et al. 2024, "Boosting
vision-language models with transduction".
"""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import Float64, Labels, Probs, Vectors
from clipcache.errors import RunError
from clipcache.heads.base import LinearWeights, check_training_set
from clipcache.text import LabelText
from clipcache.whitening import PoolSample, Whitening, unit

__all__ = ["Transductive"]


@dataclass(frozen=True)
class Transductive:
    """Discriminant analysis on labels and pool."""

    scale: float = 30.0
    """What a cosine is multiplied with to give a logit."""
    strength: float = 5.0
    """The pool counts as at most so many labels of each class, and a row as at most one."""
    rounds: int = 5
    """How often the spread within classes is estimated again."""
    steps: int = 2
    """Steps of expectation maximisation in each round."""

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
        """Return weights for (l, d) labelled rows and a pool; RunError without a pool.

        A class without a label is never predicted: its weights are 0 and its bias is very low.
        """
        check_training_set(x, y, n_classes)
        if pool is None or not len(pool.vectors):
            raise RunError("the transductive head learns from a pool, but there is none")
        known, place = np.unique(y, return_inverse=True)
        members = np.eye(len(known), dtype=np.float32)[:, place]  # (k, l)
        whitening, z = pool.whitening, pool.whitened
        sums = members @ whitening(x)
        means, shares = self._maximise(unit(sums), sums, z)
        for _ in range(self.rounds - 1):
            whitening = Whitening.of(pool.mean, _within(pool, shares), pool.ridge)
            z = whitening(pool.vectors)
            sums = members @ whitening(x)
            means, shares = self._maximise(self._means(sums, z, shares), sums, z)
        return self._fold(whitening, means, known, n_classes, pool)

    def _maximise(self, means: Vectors, sums: Vectors, z: Vectors) -> tuple[Vectors, Probs]:
        """Return means and shares after some steps of expectation maximisation."""
        for _ in range(self.steps):
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
        self,
        whitening: Whitening,
        means: Vectors,
        known: Labels,
        n_classes: int,
        pool: PoolSample,
    ) -> LinearWeights:
        """Return the rule as weights on plain vectors.

        Whitened rows are not scaled to length 1 one by one, which no matrix can do, but all by
        their usual length: that changes how sure the head is of a row, never which class is first.
        """
        white = (pool.vectors - pool.mean) @ whitening.matrix
        length = np.sqrt((white * white).sum(axis=1).mean()) or np.float32(1)
        weight = np.zeros((means.shape[1], n_classes), dtype=np.float32)
        bias = np.full(n_classes, -3 * self.scale, dtype=np.float32)
        weight[:, known] = self.scale / length * whitening.matrix @ means.T
        bias[known] = -pool.mean @ weight[:, known]
        return LinearWeights(weight, bias)


def _within(pool: PoolSample, shares: Probs) -> Float64:
    """Return the (d, d) covariance within classes: all of it less that of the class means."""
    x = pool.vectors - pool.mean
    sums = shares.T @ x / np.sqrt(np.maximum(shares.sum(axis=0), 1e-9))[:, None]  # (k, d)
    between: Float64 = (sums.T @ sums).astype(np.float64) / len(x)
    return pool.covariance - between
