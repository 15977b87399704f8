"""What every head promises, and the one form that most of them fit into: a weight matrix."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clipcache.arrays import Labels, Logits, Vectors
from clipcache.durable import write_file
from clipcache.errors import ArrayError, RunError
from clipcache.projection import Weights
from clipcache.text import LabelText
from clipcache.whitening import PoolSample


class FittedHead(Protocol):
    """Turns vectors into logits; never sees an image."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) float32 for (b, d) float32 unit rows."""
        ...

    def save(self, path: Path) -> None:
        """Write the head as safetensors, whole or not at all."""
        ...


class Head(Protocol):
    """A recipe. A frozen dataclass: its fields are its hyper-parameters."""

    def fit(
        self,
        x: Vectors,
        y: Labels,
        *,
        n_classes: int,
        text: LabelText | None,
        rng: np.random.Generator,
        start: "LinearWeights | None" = None,
        pool: PoolSample | None = None,
    ) -> FittedHead:
        """Fit to labelled vectors.

        Parameters
        ----------
        x : (l, d) float32 unit rows.
        y : (l,) int64 classes in [0, n_classes); classes without a label are allowed.
        n_classes : c, the width of the logits.
        text : the class names' vectors, where the cache has them.
        start : weights to go on from; a head without an iterative fit ignores it.
        pool : rows whose labels nobody knows, for heads that learn from them as well.
        """
        ...


KIND = "clipcache linear head, format 1"
"""What the file says it is. One entry: safetensors writes several in random order."""


@dataclass(frozen=True, eq=False)
class LinearWeights(Weights):
    """A fitted linear head, as it is kept on disk."""

    def save(self, path: Path) -> None:
        """Write weight and bias as safetensors, whole or not at all."""
        tensors = {"weight": np.ascontiguousarray(self.weight), "bias": self.bias}
        write_file(path, save(tensors, metadata={"kind": KIND}))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; RunError where the file is damaged or of another kind."""
        try:
            with safe_open(path, framework="numpy") as file:
                metadata = file.metadata() or {}
                if metadata.get("kind") != KIND:
                    raise RunError(f"{path} holds {json.dumps(metadata)}, not a {KIND}")
                return cls(file.get_tensor("weight"), file.get_tensor("bias"))
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} cannot be read as a head: {error}") from error


def check_training_set(x: Vectors, y: Labels, n_classes: int) -> None:
    """Raise ArrayError unless there is one label in [0, n_classes) for each of at least one row."""
    if not len(x) or len(x) != len(y):
        raise ArrayError(f"a head needs a label for each vector, found {len(x)} and {len(y)}")
    if y.min() < 0 or y.max() >= n_classes:
        raise ArrayError(
            f"labels run from {y.min()} to {y.max()}, but classes from 0 to {n_classes - 1}"
        )
