"""What heads make of a block of rows, and how far that can be off."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from clipcache.arrays import (
    Features,
    Float64,
    Floats,
    Labels,
    Logits,
    Probs,
    RowIds,
    Scores,
    Vectors,
)
from clipcache.errors import ArrayError
from clipcache.features import Rows
from clipcache.kernels.exact import exact
from clipcache.kernels.measure import Measure
from clipcache.kernels.product import pack_weights, product, roundings
from clipcache.kernels.shortlist import shortlist as likeliest

BLOCK = 8192
"""Rows at a time where there are few classes. The logits of 1,536 would fit better into a core's
cache, but each block also costs some Python, and with 8,192 a whole pass takes a sixth less."""
LEAST = 192
"""Rows at a time where there are many."""
LOGITS = 2**21
"""Logits at a time, between these two: 8 MB."""
OVERFLOW = 1e30
"""Errors from which on the logits themselves may be too large for float32."""
EXACT = 1024
"""Rows at a time in float64."""


class HasLogits(Protocol):
    """The one thing that scoring asks of a fitted head."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) float32 for (b, d) float32."""
        ...


@dataclass(frozen=True, eq=False)
class Weights:
    """A head of the form logits = x @ weight + bias, so that scoring can do the product itself."""

    weight: Vectors = field(repr=False)
    """(d, c) float32."""
    bias: Vectors = field(repr=False)
    """(c,) float32; -inf rules a class out."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) float32 for (b, d) float32 unit rows."""
        logits: Logits = block @ self.weight + self.bias
        return logits


class Answer(Protocol):
    """What one head makes of a block of b rows."""

    def rivals(self, measure: Measure, k: int) -> tuple[RowIds | slice, Floats, Floats | float]:
        """Return who may be among the best `k` of the block.

        Returns their places in the block, their scores, and how far each, or any, of these may be
        from the exact one.
        """
        ...

    def scores(self, measure: Measure) -> Floats:
        """Return (b,) float32 scores."""
        ...

    def shortlist(self, k: int) -> tuple[Labels, Probs]:
        """Return (b, k) classes, the likeliest first, and their probabilities."""
        ...


@dataclass(frozen=True)
class HostAnswer:
    """An answer in memory."""

    logits: Logits
    """(b, c) float32; NaN where they may have been too large for that."""
    error: float | None
    """How far any of them may be from the exact one; None where nothing is known, so that these
    logits count as exact."""

    def rivals(self, measure: Measure, k: int) -> tuple[RowIds | slice, Floats, Floats | float]:
        """Return everybody: to sort them out is the contenders' business."""
        scores, likeliest = measure.kernel(self.logits)
        if self.error is None:
            return slice(None), scores, 0.0
        return slice(None), scores, measure.slack(self.error, likeliest, self.logits.shape[1])

    def scores(self, measure: Measure) -> Floats:
        """Return (b,) float32 scores."""
        return measure(self.logits)

    def shortlist(self, k: int) -> tuple[Labels, Probs]:
        """Return (b, k) classes, the likeliest first, and their probabilities."""
        if k > self.logits.shape[1]:
            raise ArrayError(f"{k} classes were asked for, the head has {self.logits.shape[1]}")
        return likeliest(self.logits, k)


class Block(NamedTuple):
    """Some of the wanted rows, with what each head makes of them."""

    place: slice
    """Where they are among the wanted rows."""
    rows: RowIds
    answers: Sequence[Answer]


@runtime_checkable
class Accelerated(Protocol):
    """Rows on a device that does the work itself."""

    def each_block(
        self, rows: RowIds, heads: Sequence[HasLogits], visit: Callable[[Block], None]
    ) -> list[RowIds]:
        """Call `visit` with every block, and return the rows that are not finite."""
        ...


class Projection:
    """Several heads, each block of rows being read once for all of them."""

    def __init__(self, heads: Sequence[HasLogits], d: int) -> None:
        linear = [head for head in heads if isinstance(head, Weights)]
        self._heads = [(h, Reach.of(h) if isinstance(h, Weights) else None) for h in heads]
        self.is_linear = len(linear) == len(heads)
        weight = np.hstack([np.empty((d, 0)), *(head.weight for head in linear)])
        bias = np.concatenate([np.empty(0), *(head.bias for head in linear)])
        self._packed = pack_weights(weight.astype(np.float32), bias.astype(np.float32))
        rows = LOGITS // max(1, len(bias)) // LEAST * LEAST
        self.block = min(max(rows, LEAST), BLOCK)

    def __call__(
        self, array: Features | Vectors, places: RowIds
    ) -> tuple[list[HostAnswer], npt.NDArray[np.bool_]]:
        """Return each head's answer for the rows at `places`, and which rows are finite."""
        rows, at = array, places
        if not array.flags.c_contiguous:
            rows, at = array[places], np.arange(len(places))
        logits, squares = product(rows, at, self._packed)  # of all linear heads side by side
        length, finite = longest(squares, array, places)
        answers, column = [], 0
        for head, reach in self._heads:
            if reach:
                stop = column + reach.classes
                error = reach.error(length, roundings(reach.dim))
                if error >= OVERFLOW:
                    logits[:, column:stop] = np.nan
                answers.append(HostAnswer(logits[:, column:stop], error))
                column = stop
            else:
                answers.append(HostAnswer(head.logits(array[places].astype(np.float32)), None))
        return answers, finite


def longest(squares: Scores, features: Rows, rows: RowIds) -> tuple[float, npt.NDArray[np.bool_]]:
    """Return a length that none of the rows exceeds that are finite, and which these are.

    `squares` : (b,) float32, what float32 makes of their squared lengths. A square may overflow
    where its row is sound, and may be too small for float32: what is added to the length is for
    dimensions below 1e-19, up to 10,000 of them.
    """
    finite = np.isfinite(squares)
    length = np.sqrt(squares[finite].max(initial=0.0), dtype=np.float64)
    if not finite.all():
        odd = ~finite
        x = features[rows[odd]].astype(np.float64)
        finite[odd] = np.isfinite(x).all(axis=1)
        length = max(length, np.linalg.norm(x[finite[odd]], axis=1).max(initial=0.0))
    return float(length) + 2e-17, finite


def exact_scores(features: Rows, head: HasLogits, measure: Measure) -> Callable[[RowIds], Float64]:
    """Return a function from rows to their scores in float64, which depend on nothing else."""
    if not isinstance(head, Weights):
        return lambda rows: measure(head.logits(features[rows].astype(np.float32))).astype(float)
    weight, bias = head.weight.astype(np.float64), head.bias.astype(np.float64)

    def scores(rows: RowIds) -> Float64:
        parts = [
            measure(exact(features[rows[start : start + EXACT]].astype(np.float64), weight, bias))
            for start in range(0, len(rows), EXACT)
        ]
        return np.concatenate([np.empty(0), *parts])

    return scores


class Reach(NamedTuple):
    """How large the weights of a linear head are, and so how far its float32 logits can be off."""

    dim: int
    classes: int
    weight: float
    """Length of the longest class vector."""
    bias: float

    @classmethod
    def of(cls, head: Weights) -> Self:
        """Measure a head."""
        bias = np.abs(head.bias[np.isfinite(head.bias)].astype(np.float64))
        lengths = np.linalg.norm(head.weight.astype(np.float64), axis=0)
        d, c = head.weight.shape
        return cls(d, c, float(lengths.max(initial=0.0)), float(bias.max(initial=0.0)))

    def error(self, length: float, steps: int) -> float:
        """Bound |float32 logit - exact logit| for rows of at most this length.

        `steps` is how many roundings a term of a logit goes through at most.
        One per cent is added for terms of higher order, the last part for underflow.
        """
        relative = 1.01 * steps * 2.0**-24
        return relative * (length * self.weight + self.bias) + self.dim * 2.0**-148


def check_heads(heads: Sequence[HasLogits], d: int) -> None:
    """Raise ArrayError for a linear head that does not fit rows of `d` dimensions."""
    for head in heads:
        if not isinstance(head, Weights):
            continue
        shape, biases = head.weight.shape, head.bias.shape
        if len(shape) != 2 or shape[1] < 1 or biases != shape[1:]:
            raise ArrayError(
                f"a head's weights must be (d, c) and its bias (c,), found {shape} and {biases}"
            )
        if shape[0] != d:
            raise ArrayError(
                f"the head was made for {shape[0]} dimensions, the rows have {d}; "
                "fit it on vectors of the same encoder"
            )
        wrong = ~np.isfinite(head.weight).all(axis=0) | np.isnan(head.bias) | np.isposinf(head.bias)
        if wrong.any():
            raise ArrayError(
                f"the head's weights for class {np.flatnonzero(wrong)[0]} are not finite, "
                f"{int(wrong.sum())} of {len(wrong)} classes in all; fit it again"
            )
