"""Tip-Adapter: zero-shot CLIP plus a vote of the labelled images, near ones counting most.

How loud the votes are (alpha) and how near is near (beta) is chosen on the labelled images, each
judged by the others only. The authors' code chooses both, and with fine-tuning the epoch, on the
test images (gaopengcuhk/Tip-Adapter, issue 11), so that published figures are optimistic.

Reference: Zhang et al. 2022, "Tip-Adapter: training-free adaption of CLIP for few-shot
classification", equations 3 to 6.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from clipcache.arrays import Float64, Labels, Logits, Vectors
from clipcache.heads.base import (
    LinearWeights,
    check_training_set,
    clearly_best,
    read_tensors,
    text_weights,
    write_tensors,
)
from clipcache.logistic import cross_entropy, minimise
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["TipAdapter", "TipAdapterWeights"]

STEPS = 50
"""Steps of L-BFGS for the keys."""
ALPHAS = (1.0, 0.0, 0.1, 0.3, 3.0, 10.0, 30.0)
BETAS = (8.0, 2.0, 4.0, 16.0, 32.0, 64.0)
"""What is chosen from; the first of each is the default."""


@dataclass(frozen=True, eq=False)
class TipAdapterWeights:
    """A fitted Tip-Adapter: logits = x W_text + b + alpha exp(-beta (1 - x keys^T)) votes."""

    weight: Vectors = field(repr=False)
    """(d, c) float32, the class names times the encoder's scale."""
    bias: Vectors = field(repr=False)
    """(c,) float32."""
    keys: Vectors = field(repr=False)
    """(l, d) float32, the labelled images."""
    votes: Vectors = field(repr=False)
    """(l, c) float32, their classes, one-hot."""
    sharpness: Vectors
    """(2,) float32, alpha and beta."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) float32 for (b, d) float32 unit rows."""
        alpha, beta = self.sharpness
        near = np.exp(-beta * (1 - block @ self.keys.T))  # (b, l)
        logits: Logits = block @ self.weight + self.bias + alpha * (near @ self.votes)
        return logits

    def save(self, path: Path) -> None:
        """Write the head as safetensors, whole or not at all."""
        write_tensors(path, "tip_adapter", vars(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; RunError where the file is damaged or of another kind."""
        names = ("weight", "bias", "keys", "votes", "sharpness")
        return cls(*read_tensors(path, "tip_adapter", names))


@dataclass(frozen=True)
class TipAdapter:
    """A cache of labelled images beside the class names, training-free unless `fine_tune`."""

    needs_text: ClassVar[bool] = True
    continues: ClassVar[bool] = False

    fine_tune: bool = False
    """Learn the keys as well (Tip-Adapter-F), each image's own key being left out of its sum: the
    authors augment their images instead, which cached vectors cannot be."""
    c: float = 0.1
    """With `fine_tune`, the inverse strength of the pull of each key towards its image."""

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
    ) -> TipAdapterWeights:
        """Return names and keys, without a label the names alone.

        RunError where the cache has no class names.
        """
        if len(y):
            check_training_set(x, y, n_classes)
        names = partial(text_weights, text, n_classes, pool=pool, head="tip_adapter")
        prior = names(x, y)
        x = x.reshape(len(y), len(prior.weight))  # so that (0, 0) becomes (0, d)
        task = _Votes(x.astype(np.float64), y, _held_out(names, x, y), np.eye(n_classes)[y])
        alpha, beta = task.choose()
        keys = task.learn(alpha, beta, self.c) if self.fine_tune and len(y) else x
        return TipAdapterWeights(
            prior.weight,
            prior.bias,
            np.array(keys, dtype=np.float32),
            task.votes.astype(np.float32),
            np.array([alpha, beta], dtype=np.float32),
        )


def _held_out(names: Callable[[Vectors, Labels], LinearWeights], x: Vectors, y: Labels) -> Float64:
    """Return (l, c) logits of the names for each image, as if it had no label itself.

    Only a class without a name leans towards its images, so only there a label makes a difference.
    """
    prior = names(x, y)
    base = x.astype(np.float64) @ prior.weight + prior.bias
    bare = names(x[:0], y[:0])
    for i in np.flatnonzero(bare.bias[y] < 0):
        without = names(np.delete(x, i, axis=0), np.delete(y, i))
        base[i] = x[i] @ without.weight + without.bias
    return base


@dataclass(frozen=True, eq=False)
class _Votes:
    """The labelled images, each judged by the others only."""

    x: Float64
    """(l, d)."""
    y: Labels
    base: Float64
    """(l, c) logits of the names."""
    votes: Float64
    """(l, c) one-hot."""

    def near(self, keys: Float64, beta: float) -> Float64:
        """Return (l, l): how near each image is to each key, and 0 to its own."""
        near = np.exp(-beta * (1 - self.x @ keys.T))
        np.fill_diagonal(near, 0.0)
        return near

    def choose(self) -> tuple[float, float]:
        """Return alpha and beta; the first ones, unless others are clearly better."""
        settings = list(product(ALPHAS, BETAS))
        sums = {beta: self.near(self.x, beta) @ self.votes for beta in BETAS}
        right = [(self.base + a * sums[b]).argmax(axis=1) == self.y for a, b in settings]
        return settings[clearly_best(np.array(right))]

    def learn(self, alpha: float, beta: float, c: float) -> Float64:
        """Return keys that minimise cross-entropy + |keys - x|^2 / (2 c)."""

        def loss(flat: Float64) -> tuple[float, Float64]:
            keys = flat.reshape(self.x.shape)
            near = self.near(keys, beta)
            value, residual = cross_entropy(self.base + alpha * near @ self.votes, self.y)
            pull = (residual @ self.votes.T) * near * (alpha * beta)  # (l images, l keys)
            moved = keys - self.x
            return value + (moved**2).sum() / (2 * c), (pull.T @ self.x + moved / c).ravel()

        return minimise(loss, self.x, STEPS)
