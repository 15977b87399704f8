"""What every head promises, and the one form that most of them fit into: a weight matrix."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clipcache import registry
from clipcache.arrays import Float64, Labels, Logits, Vectors
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
    """A recipe. A frozen dataclass: its fields are its hyper-parameters.

    The first two attributes hold for a recipe that does not say otherwise.
    """

    needs_text: ClassVar[bool] = False
    """Whether it cannot be fitted without vectors of class names."""
    continues: ClassVar[bool] = True
    """Whether what it fits is a weight matrix, from which a fit can go on."""

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


KIND = "clipcache {} head, format 1"
"""What a file says it is: the plug-in that can read it. All that fit into a weight matrix are
linear. One entry of metadata: safetensors writes several in random order."""

Tensors = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class LinearWeights(Weights):
    """A fitted linear head, as it is kept on disk."""

    def save(self, path: Path) -> None:
        """Write weight and bias as safetensors, whole or not at all."""
        write_tensors(path, "linear", {"weight": self.weight, "bias": self.bias})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; RunError where the file is damaged or of another kind."""
        return cls(*read_tensors(path, "linear", ("weight", "bias")))


def write_tensors(path: Path, plugin: str, tensors: Tensors) -> None:
    """Write a fitted head as safetensors, whole or not at all."""
    # `save` writes memory as it lies, whatever the strides say.
    packed = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    write_file(path, save(packed, metadata={"kind": KIND.format(plugin)}))


def read_tensors(path: Path, plugin: str, names: Sequence[str]) -> list[npt.NDArray[Any]]:
    """Read what `write_tensors` wrote; RunError where the file is damaged or of another kind."""
    kind = KIND.format(plugin)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("kind") != kind:
                raise RunError(f"{path} holds {json.dumps(metadata)}, not a {kind}")
            return [file.get_tensor(name) for name in names]
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read as a head: {error}") from error


def load_head(path: Path) -> FittedHead:
    """Read a fitted head of any kind, importing only the plug-in that wrote it.

    That is the second name in the plug-in's `__all__`; the first is the recipe.

    Raises RunError where the file is damaged or of a kind that this version does not know.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            kind = str((file.metadata() or {}).get("kind"))
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} cannot be read as a head: {error}") from error
    if kind == KIND.format("linear"):
        return LinearWeights.load(path)
    found = re.fullmatch(KIND.format(r"(\w+)"), kind)
    if found and found[1] in registry.names("heads"):
        module = import_module(f"clipcache.heads.{found[1]}")
        if len(module.__all__) > 1:
            head: FittedHead = getattr(module, module.__all__[1]).load(path)
            return head
    raise RunError(f"{path} holds {kind!r}, which is no head that this version knows")


def check_training_set(x: Vectors, y: Labels, n_classes: int) -> None:
    """Raise ArrayError unless there is one label in [0, n_classes) for each of at least one row."""
    if not len(x) or len(x) != len(y):
        raise ArrayError(f"a head needs a label for each vector, found {len(x)} and {len(y)}")
    if y.min() < 0 or y.max() >= n_classes:
        raise ArrayError(
            f"labels run from {y.min()} to {y.max()}, but classes from 0 to {n_classes - 1}"
        )


def mean_image(x: Vectors, pool: PoolSample | None) -> Float64:
    """Return the (d,) mean of the pool; of the labelled rows, where there is none."""
    known = x.mean(axis=0) if pool is None or not len(pool.vectors) else pool.mean
    return known.astype(np.float64)


LEAN = 0.5
"""How far a class without a text vector leans towards its images, in units of how far names lie
from their mean. On real features with names for 19 of 27 and 4 of 10 classes, 0.5 was better than
0 and about as good as 1, with which such classes take rows from classes that have a name."""


def names_known(text: LabelText | None, n_classes: int) -> npt.NDArray[np.bool_]:
    """Return (c,) which classes have a name with a vector."""
    if text is None:
        return np.zeros(n_classes, dtype=np.bool_)
    return np.asarray(np.isfinite(text.vectors[:n_classes]).all(axis=1))


def text_weights(
    text: LabelText | None,
    n_classes: int,
    x: Vectors,
    y: Labels,
    *,
    pool: PoolSample | None = None,
    head: str,
) -> LinearWeights:
    """Return the class names as a linear head: logits are cosines times the encoder's scale.

    A class whose name has no vector (a row of NaN) is ruled out until it has a label: its weights
    are 0 and its bias is below any cosine, though not so far that float32 would notice. Then it
    stands at the mean of the other names, and leans from there towards its images.

    Parameters
    ----------
    x, y : (l, d) labelled rows and their classes; none of them moves a class that has a name.
    pool : from whose mean images lean, as in `mean_image`.
    head : who asks, for the RunError where there is no text.
    """
    named = names_known(text, n_classes)
    if text is None or not named.any():
        raise RunError(
            f"the {head} head needs class names as text, but the cache has none; "
            "embed again with --labels names.txt"
        )
    vectors = text.vectors[:n_classes].copy()
    bias = np.zeros(n_classes, dtype=np.float32)
    middle = vectors[named].mean(axis=0)
    spread = np.linalg.norm(vectors[named] - middle, axis=1).mean() or 1.0  # 0: a single name
    for c in np.flatnonzero(~named):
        images = x[y == c]
        if len(images):
            lean = images.mean(axis=0) - mean_image(x, pool)
            vectors[c] = middle + LEAN * spread * lean / (np.linalg.norm(lean) or 1.0)
        else:
            vectors[c], bias[c] = 0.0, -2 * text.logit_scale
    # In rows, as it is read back from a file: BLAS rounds differently for the other order.
    weight = np.ascontiguousarray(vectors.T * text.logit_scale, dtype=np.float32)  # (d, c)
    return LinearWeights(weight, bias)


@dataclass(frozen=True)
class Probe:
    """What labels and names alone say: `text_prior` where there are names, else `linear`.

    It guides the heads that a pool teaches.
    """

    n_classes: int
    text: LabelText | None
    rng: np.random.Generator
    pool: PoolSample | None

    def fit(self, x: Vectors, y: Labels, start: LinearWeights | None = None) -> LinearWeights:
        """Fit to (l, d) labelled rows; the strength of the penalty is the usual one."""
        if names_known(self.text, self.n_classes).any():
            recipe = registry.load("heads", "text_prior")
            head: Head = recipe(strengths=recipe.strengths[:1])
        else:
            head = registry.load("heads", "linear")()
        fitted = head.fit(
            x,
            y,
            n_classes=self.n_classes,
            text=self.text,
            rng=self.rng,
            start=start,
            pool=self.pool,
        )
        assert isinstance(fitted, LinearWeights)
        return fitted

    def known(self, y: Labels) -> npt.NDArray[np.bool_]:
        """Return (c,) which classes it can say something about."""
        labelled = np.bincount(y, minlength=self.n_classes) > 0
        return labelled | names_known(self.text, self.n_classes)


def clearly_best(right: npt.NDArray[np.bool_]) -> int:
    """Return which of k settings to take: the first, unless another is clearly better.

    Clearly is by more than a standard error, counting only the labels on which the two differ
    (McNemar 1947). Taking whatever looks best on few labels is worse than a good default.

    Parameters
    ----------
    right : (k, l), whether each setting was right about each label while it was held out.
    """
    best = int(right.sum(axis=1).argmax())
    gained = np.count_nonzero(right[best] & ~right[0])
    lost = np.count_nonzero(right[0] & ~right[best])
    return best if gained - lost > np.sqrt(gained + lost) else 0
