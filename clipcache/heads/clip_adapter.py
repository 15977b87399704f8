"""CLIP-Adapter: a small network moves the image vectors, the class names stay as they are.

Reference: Gao et al. 2021, "CLIP-Adapter: better vision-language models with feature adapters",
equations 5 and 7 (the adapter on images, which the authors found to matter most).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from clipcache.arrays import Float64, Labels, Logits, Vectors
from clipcache.heads.base import (
    LinearWeights,
    check_training_set,
    read_tensors,
    text_weights,
    write_tensors,
)
from clipcache.logistic import cross_entropy, minimise
from clipcache.text import LabelText
from clipcache.whitening import PoolSample, unit

__all__ = ["ClipAdapter", "ClipAdapterWeights"]

SMALL = 0.15
"""How large the first weights are, in units of what keeps lengths."""


@dataclass(frozen=True, eq=False)
class ClipAdapterWeights:
    """A fitted CLIP-Adapter: cosines of names and ratio * network(x) + (1 - ratio) * x."""

    down: Vectors = field(repr=False)
    """(d, h) float32, into the bottleneck."""
    up: Vectors = field(repr=False)
    """(h, d) float32, out of it."""
    ratio: Vectors
    """() float32."""
    weight: Vectors = field(repr=False)
    """(d, c) float32, the class names times the encoder's scale."""
    bias: Vectors = field(repr=False)
    """(c,) float32."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) float32 for (b, d) float32 unit rows."""
        change = np.maximum(np.maximum(block @ self.down, 0) @ self.up, 0)
        moved = unit(self.ratio * change + (1 - self.ratio) * block)
        logits: Logits = moved @ self.weight + self.bias
        return logits

    def save(self, path: Path) -> None:
        """Write the head as safetensors, whole or not at all."""
        write_tensors(path, "clip_adapter", vars(self))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; RunError where the file is damaged or of another kind."""
        names = ("down", "up", "ratio", "weight", "bias")
        return cls(*read_tensors(path, "clip_adapter", names))


@dataclass(frozen=True)
class ClipAdapter:
    """Minimises cross-entropy summed over labels + (|down|^2 + |up|^2) / (2 c).

    With weights of zero the head is zero-shot CLIP, so the penalty pulls towards that. The authors
    go 200 epochs with a small learning rate instead; on cached vectors, where a batch is all there
    is, L-BFGS needs no more than `steps` passes, no PyTorch, and no schedule to choose.
    """

    needs_text: ClassVar[bool] = True
    continues: ClassVar[bool] = False

    ratio: float = 0.2
    """How much of the moved vector the network makes; the authors' value for most sets."""
    reduction: int = 4
    """The bottleneck has d / reduction numbers, as the authors'."""
    c: float = 1.0
    """Inverse strength of the penalty."""
    steps: int = 30
    """Steps of L-BFGS."""

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
    ) -> ClipAdapterWeights:
        """Return the fitted network, without a label one that leaves images where they are.

        RunError where the cache has no class names.
        """
        if len(y):
            check_training_set(x, y, n_classes)
        names = text_weights(text, n_classes, x, y, pool=pool, head="clip_adapter")
        d = len(names.weight)
        hidden = max(1, d // self.reduction)
        flat = np.zeros(2 * d * hidden)
        if len(y):
            first = SMALL * rng.standard_normal(2 * d * hidden)
            first[: d * hidden] /= d**0.5
            first[d * hidden :] /= hidden**0.5
            weight, bias = names.weight.astype(np.float64), names.bias.astype(np.float64)
            rows = x.astype(np.float64)
            flat = minimise(lambda w: self._loss(w, rows, y, weight, bias), first, self.steps)
        down, up = flat.astype(np.float32).reshape(2, -1)
        return ClipAdapterWeights(
            down.reshape(d, hidden),
            up.reshape(hidden, d),
            np.array(self.ratio, dtype=np.float32),
            names.weight,
            names.bias,
        )

    def _loss(
        self, flat: Float64, x: Float64, y: Labels, weight: Float64, bias: Float64
    ) -> tuple[float, Float64]:
        """Return the objective and its gradient at the weights `flat`, down before up."""
        d = x.shape[1]
        down, up = flat[: len(flat) // 2].reshape(d, -1), flat[len(flat) // 2 :].reshape(-1, d)
        inner = np.maximum(x @ down, 0)  # (l, h)
        change = np.maximum(inner @ up, 0)  # (l, d)
        moved = self.ratio * change + (1 - self.ratio) * x
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        length[length == 0] = 1.0
        moved /= length
        loss, residual = cross_entropy(moved @ weight + bias, y)
        back = residual @ weight.T  # (l, d), as are the next two
        back = (back - moved * (moved * back).sum(axis=1, keepdims=True)) / length
        back = self.ratio * back * (change > 0)
        back_inner = (back @ up.T) * (inner > 0)  # (l, h)
        gradient = np.concatenate([(x.T @ back_inner).ravel(), (inner.T @ back).ravel()])
        return loss + float((flat**2).sum()) / (2 * self.c), gradient + flat / self.c
