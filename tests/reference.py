"""One slow, obvious twin a kernel, and the table that tests and benchmarks go through.

A twin is the formula of the paper in float64 and nothing else; where kernel and twin differ, the
twin is right.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from clipcache.arrays import Features, Logits, Probs, RowIds, Vectors
from clipcache.kernels import exp as exponential
from clipcache.kernels.disagreement import disagreement
from clipcache.kernels.energy import energy
from clipcache.kernels.entropy import entropy
from clipcache.kernels.exact import exact
from clipcache.kernels.least_confidence import least_confidence
from clipcache.kernels.margin import margin
from clipcache.kernels.product import pack_weights, product
from clipcache.kernels.shortlist import shortlist

Float64 = npt.NDArray[np.float64]
Arguments = tuple[npt.NDArray[Any], ...]

MEMBERS = 3
"""Heads in the committee of the tests."""
SHOWN = 3
"""Classes in the shortlists of the tests."""


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


def bits(p: Float64) -> Float64:
    """Return -sum(p log2 p) along the last axis, where 0 log 0 = 0."""
    logs = np.log2(p, out=np.zeros_like(p), where=p > 0)
    return -(p * logs).sum(axis=-1)


def entropy_twin(logits: Logits) -> Float64:
    """Return the entropy of the softmax."""
    return bits(softmax(logits))


def energy_twin(logits: Logits) -> Float64:
    """Return -log(sum(exp(x)))."""
    return -np.logaddexp.reduce(logits.astype(np.float64), axis=1)


def disagreement_twin(logits: Logits) -> Float64:
    """Return H(mean of p) - mean of H(p)."""
    p = np.stack([softmax(member) for member in np.split(logits, MEMBERS, axis=1)])
    return bits(p.mean(axis=0)) - bits(p).mean(axis=0)


def shortlist_twin(logits: Logits) -> Float64:
    """Return classes and probabilities side by side; of equal logits the lower class first."""
    order = np.argsort(-logits, axis=1, kind="stable")[:, :SHOWN]
    return np.hstack([order, np.take_along_axis(softmax(logits), order, axis=1)])


def exact_twin(x: Float64, weight: Float64, bias: Float64) -> Float64:
    """Return x @ weight + bias, one dimension after the other."""
    out = np.repeat(bias[None], len(x), axis=0)
    for k in range(x.shape[1]):
        out = out + x[:, k, None] * weight[k]
    return out


def product_twin(
    features: Features | Vectors, rows: RowIds, weight: Vectors, bias: Vectors
) -> Float64:
    """Return the logits of some rows."""
    return features[rows].astype(np.float64) @ weight.astype(np.float64) + bias


def exp_twin(x: Vectors) -> Float64:
    """Return e^x."""
    return np.exp(x.astype(np.float64))


def shortlist_kernel(logits: Logits) -> Probs:
    """Return both results of the kernel side by side."""
    return np.hstack(shortlist(logits, SHOWN)).astype(np.float32)


def product_kernel(
    features: Features | Vectors, rows: RowIds, weight: Vectors, bias: Vectors
) -> Logits:
    """Return the logits of the kernel, packing included."""
    return product(features, rows, pack_weights(weight, bias))[0]


@numba.njit(error_model="numpy")
def exp_kernel(x: Vectors) -> Vectors:
    """Return what the function for use inside kernels makes of each number."""
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = exponential.exp(x[i])
    return out


@dataclass(frozen=True)
class Case:
    """A kernel, what it must agree with, and on what."""

    kernel: Callable[..., npt.NDArray[Any]]
    twin: Callable[..., npt.NDArray[Any]]
    inputs: Mapping[str, Callable[[], Arguments]]
    """Name -> maker of the positional arguments, so that importing the table costs nothing."""
    bench: Callable[[], Arguments]
    """Maker of the arguments that speed is measured with."""


def normal(rows: int, classes: int, scale: float = 3.0) -> Logits:
    """Return the same numbers whenever it is asked for this shape."""
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
    logits = normal(40, 5)
    logits[:, 2] = -np.inf
    logits[:20, 0] = -np.inf
    logits[0, 1:] = -np.inf
    logits[0, 0] = 1.5
    return logits


def _frozen(logits: Logits) -> Logits:
    logits.setflags(write=False)
    return logits


LOGITS: dict[str, Callable[[], Arguments]] = {
    "one row": lambda: (normal(1, 10),),
    "no rows": lambda: (normal(0, 10),),
    "one class": lambda: (normal(9, 1),),
    "two classes": lambda: (normal(60, 2),),
    "forty classes": lambda: (normal(257, 40),),
    "5,000 classes": lambda: (normal(3, 5000),),
    "ties": lambda: (_ties(),),
    "near ties": lambda: (normal(1000, 40, scale=0.05),),
    "huge": lambda: (normal(50, 7, scale=1e4),),
    "both ends": lambda: (np.float32([[1e4, -1e4], [-1e4, -1e4], [1e38, -1e38], [0, 88.7]]),),
    "tiny": lambda: (normal(50, 7, scale=1e-20),),
    "certain": lambda: (normal(50, 7) + 40 * np.eye(7, dtype=np.float32)[np.arange(50) % 7],),
    "-inf in some columns": lambda: (_holes(),),
    "in Fortran order": lambda: (np.asfortranarray(normal(101, 9)),),
    "read-only": lambda: (_frozen(normal(30, 8)),),
    "not contiguous": lambda: (np.asfortranarray(normal(30, 16))[::2, ::-2],),
}


def _members(make: Callable[[], Arguments]) -> Callable[[], Arguments]:
    """Return a maker of committees: the same logits, their classes turned round, and halved."""

    def committee() -> Arguments:
        (logits,) = make()
        return (np.hstack([logits, logits[:, ::-1], logits / 2]),)

    return committee


NARROW = ("one class", "two classes", "both ends")
"""Those with fewer classes than are shown."""

COMMITTEES = {name: _members(make) for name, make in LOGITS.items()} | {
    "all agree": lambda: (np.tile(normal(20, 6), MEMBERS),),
    "each is certain of another": lambda: (90 * np.eye(9, dtype=np.float32)[[0, 4, 8]],),
    "not contiguous": lambda: (np.asfortranarray(normal(30, 18))[::2, ::-2],),
}


def _linear(
    rows: int, d: int, classes: int, kind: npt.DTypeLike = np.float16
) -> Callable[[], Arguments]:
    """Return a maker of unit rows, some of them in another order, and a head."""

    def make() -> Arguments:
        x = normal(rows + 5, d)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        places = np.random.default_rng(d).permutation(rows + 5)[:rows]
        return _frozen(x.astype(kind)), places, normal(d, classes), normal(1, classes)[0]

    return make


PRODUCTS: dict[str, Callable[[], Arguments]] = {
    "one row": _linear(1, 16, 3),
    "no rows": _linear(0, 16, 3),
    "one dimension": _linear(50, 1, 3),
    "one class": _linear(50, 37, 1),
    "forty classes": _linear(257, 512, 40),
    "float32": _linear(257, 130, 9, np.float32),
    "5,000 classes": _linear(3, 20, 5000),
}


def _doubles(rows: int, d: int, classes: int) -> Callable[[], Arguments]:
    def make() -> Arguments:
        x, weight, bias = normal(rows, d), normal(d, classes), normal(1, classes)[0]
        return x.astype(np.float64), weight.astype(np.float64), bias.astype(np.float64)

    return make


EXACT: dict[str, Callable[[], Arguments]] = {
    "one row": _doubles(1, 16, 3),
    "no rows": _doubles(0, 16, 3),
    "one dimension": _doubles(20, 1, 3),
    "forty classes": _doubles(21, 37, 40),
}

NUMBERS: dict[str, Callable[[], Arguments]] = {
    "the whole range": lambda: (np.linspace(-86.99, 0, 20_001, dtype=np.float32),),
    "around zero": lambda: (-np.geomspace(1e-38, 1, 20_001, dtype=np.float32),),
    "where it rounds": lambda: (
        -np.arange(0.5, 125, dtype=np.float32) * np.float32(np.log(2)) + normal(1, 125, 1e-5)[0],
    ),
    "no numbers": lambda: (np.empty(0, dtype=np.float32),),
}


def _bench_logits() -> Arguments:
    return (normal(20_000, 40),)


CASES: dict[str, Case] = {
    "disagreement": Case(
        disagreement(MEMBERS), disagreement_twin, COMMITTEES, lambda: (normal(20_000, 42),)
    ),
    "energy": Case(energy, energy_twin, LOGITS, _bench_logits),
    "entropy": Case(entropy, entropy_twin, LOGITS, _bench_logits),
    "exact": Case(exact, exact_twin, EXACT, _doubles(2000, 512, 40)),
    "exp": Case(exp_kernel, exp_twin, NUMBERS, lambda: (-np.abs(normal(1, 1_000_000)[0]),)),
    "least_confidence": Case(least_confidence, least_confidence_twin, LOGITS, _bench_logits),
    "margin": Case(margin, margin_twin, LOGITS, _bench_logits),
    "product": Case(product_kernel, product_twin, PRODUCTS, _linear(20_000, 512, 40)),
    "shortlist": Case(
        shortlist_kernel,
        shortlist_twin,
        {name: make for name, make in LOGITS.items() if name not in NARROW},
        _bench_logits,
    ),
}
"""File name in clipcache/kernels -> its case."""

MEASURES = {
    name: case for name, case in CASES.items() if case.inputs is LOGITS or case.inputs is COMMITTEES
}
"""The cases whose kernels turn logits into scores."""
