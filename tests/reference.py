"""One slow, obvious twin a kernel, and the table that tests and benchmarks go through.

A twin is the formula of the paper in float64 and nothing else; where kernel and twin differ, the
twin is right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Logits
from clipcache.kernels.entropy import entropy
from clipcache.kernels.least_confidence import least_confidence
from clipcache.kernels.margin import margin

Float64 = npt.NDArray[np.float64]
Arguments = tuple[npt.NDArray[Any], ...]


def softmax(logits: Logits) -> Float64:
    """Return p = exp(x) / sum(exp(x)) of each row, after the usual shift by the largest x."""
    x = logits.astype(np.float64)
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def margin_twin(logits: Logits) -> Float64:
    """Return 1 - (p1 - p2); a class that is alone has no rival, so p2 = 0."""
    p = np.sort(softmax(logits), axis=1)
    second = p[:, -2] if p.shape[1] > 1 else np.zeros(len(p))
    return 1 - (p[:, -1] - second)


def least_confidence_twin(logits: Logits) -> Float64:
    """Return 1 - p1."""
    return 1 - softmax(logits).max(axis=1)


def entropy_twin(logits: Logits) -> Float64:
    """Return -sum(p log2 p), where 0 log 0 = 0."""
    p = softmax(logits)
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return -(p * logs).sum(axis=1)


@dataclass(frozen=True)
class Case:
    """A kernel, what it must agree with, and on what."""

    kernel: Callable[..., npt.NDArray[Any]]
    twin: Callable[..., npt.NDArray[Any]]
    inputs: Mapping[str, Callable[[], Arguments]]
    """Name -> maker of the positional arguments, so that importing the table costs nothing."""
    bench: Callable[[], Arguments]
    """Maker of the arguments that speed is measured with."""


def _normal(rows: int, classes: int, scale: float = 3.0) -> Logits:
    rng = np.random.default_rng((rows, classes))
    return (scale * rng.standard_normal((rows, classes))).astype(np.float32)


def _ties() -> Logits:
    """Return rows of small integers, with all equal, two equal at the top, and two at the end."""
    rng = np.random.default_rng(1)
    drawn = rng.integers(0, 3, size=(50, 6)).astype(np.float32)
    made = np.float32([[0] * 6, [5, 1, 5, 1, 1, 1], [0, 0, 0, 0, 9, 9], [-7] * 6])
    return np.vstack([drawn, made])


def _holes() -> Logits:
    """Return rows where some classes, once all but one, are impossible: -inf."""
    logits = _normal(40, 5)
    logits[:, 2] = -np.inf
    logits[:20, 0] = -np.inf
    logits[0, 1:] = -np.inf
    logits[0, 0] = 1.5
    return logits


def _frozen(logits: Logits) -> Logits:
    logits.setflags(write=False)
    return logits


LOGITS: dict[str, Callable[[], Arguments]] = {
    "one row": lambda: (_normal(1, 10),),
    "no rows": lambda: (_normal(0, 10),),
    "one class": lambda: (_normal(9, 1),),
    "two classes": lambda: (_normal(60, 2),),
    "forty classes": lambda: (_normal(257, 40),),
    "5,000 classes": lambda: (_normal(3, 5000),),
    "ties": lambda: (_ties(),),
    "near ties": lambda: (_normal(20_000, 40, scale=0.05),),
    "huge": lambda: (_normal(50, 7, scale=1e4),),
    "both ends": lambda: (np.float32([[1e4, -1e4], [-1e4, -1e4], [1e38, -1e38], [0, 88.7]]),),
    "tiny": lambda: (_normal(50, 7, scale=1e-20),),
    "certain": lambda: (_normal(50, 7) + 40 * np.eye(7, dtype=np.float32)[np.arange(50) % 7],),
    "-inf in some columns": lambda: (_holes(),),
    "read-only": lambda: (_frozen(_normal(30, 8)),),
    "not contiguous": lambda: (np.asfortranarray(_normal(30, 16))[::2, ::-2],),
}


def _bench_logits() -> Arguments:
    return (_normal(20_000, 40),)


CASES: dict[str, Case] = {
    "entropy": Case(entropy, entropy_twin, LOGITS, _bench_logits),
    "least_confidence": Case(least_confidence, least_confidence_twin, LOGITS, _bench_logits),
    "margin": Case(margin, margin_twin, LOGITS, _bench_logits),
}
"""File name in clipcache/kernels -> its case."""
