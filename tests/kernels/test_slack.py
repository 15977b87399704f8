"""How far a float32 score can be off: what the exactness of `scoring.top` rests on.

The exact logits are float32 ones moved by up to an error, by hand where it hurts most; whatever the
measure, float32 and exact score may differ by no more than it claims.
"""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache.arrays import Logits
from clipcache.kernels.disagreement import disagreement
from clipcache.kernels.energy import energy
from clipcache.kernels.entropy import entropy
from clipcache.kernels.jit import interpreted
from clipcache.kernels.least_confidence import least_confidence
from clipcache.kernels.margin import margin
from clipcache.kernels.measure import Measure
from tests.reference import MEMBERS

Float64 = npt.NDArray[np.float64]
EVERY = [disagreement(MEMBERS), disagreement(1), energy, entropy, least_confidence, margin]
ROWS = 6 if interpreted() else 24
CLASSES = [1, 2, 3, 7] if interpreted() else [1, 2, 3, 7, 40, 333]
"""Of each of three members; one head has three times as many."""


def moves(logits: Logits, error: float, members: int, rng: np.random.Generator) -> list[Float64]:
    """Return ways to move logits by up to `error` that change a score much."""
    x = logits.astype(np.float64)
    by_rank = np.argsort(np.argsort(-x, axis=1), axis=1)
    p = np.concatenate([powers(member) for member in np.split(x, members, axis=1)], axis=1)
    likely = np.log(np.maximum(p, 1e-300))
    mean = (p * likely).sum(axis=1, keepdims=True) / members
    signs = [
        np.where(by_rank == 0, 1, -1),  # the first away from the rest
        np.where(by_rank == 1, 1, -1),  # the second towards the first
        np.where(by_rank < 2, 1, -1),
        np.where(likely > mean, 1, -1),  # along the gradient of the entropy
        np.where(np.arange(x.shape[1]) * members // x.shape[1] % 2, 1, -1) * np.sign(likely - mean),
        np.ones_like(x),
        rng.choice([-1, 1], size=x.shape),
        rng.uniform(-1, 1, size=x.shape),
        np.zeros_like(x),
    ]
    return [error * sign for sign in signs] + [-error * sign for sign in signs]


def powers(x: Float64) -> Float64:
    """Return the softmax."""
    t = np.exp(x - x.max(axis=1, keepdims=True))
    return t / t.sum(axis=1, keepdims=True)


def check(measure: Measure, logits: Logits, error: float, rng: np.random.Generator) -> None:
    """Compare the scores of float32 logits with those of all that they may stand for."""
    scores, likeliest = measure.kernel(logits)
    slack = np.asarray(measure.slack(error, likeliest, logits.shape[1]), dtype=np.float64)
    for move in moves(logits, error, measure.members, rng):
        exact = measure(logits.astype(np.float64) + move)
        off = np.abs(scores.astype(np.float64) - exact)
        worst = int(np.argmax(off - slack))
        assert (off <= slack).all(), (worst, logits[worst].tolist(), off[worst], slack)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Logits, float, np.random.Generator]:
    """Draw logits and an error, which is never far below the rounding of the logits themselves.

    That is so for every linear head, and energies, as large as the logits, rely on it.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes = draw(st.sampled_from(CLASSES)) * MEMBERS
    scale = 10.0 ** draw(st.sampled_from([-30, -8, -4, -1, 0, 0.5, 1, 2, 4, 30]))
    x = scale * rng.standard_normal((ROWS, classes))
    if draw(st.booleans()):  # two that nearly tie, ahead of the others
        x[:, rng.integers(classes)] = x[:, 0] = x.max(axis=1) + scale * rng.uniform(0, 9, ROWS)
        x[:, 0] *= 1 + 1e-7 * rng.standard_normal(ROWS)
    if draw(st.booleans()):  # certain, more or less
        x[np.arange(ROWS), rng.integers(0, classes, ROWS)] += rng.uniform(0, 100, ROWS)
    x += draw(st.sampled_from([0.0, -1.0, 30.0, -1e4, 1e7]))
    logits = x.astype(np.float32)
    if draw(st.booleans()):
        logits = np.asfortranarray(logits)
    error = 10.0 ** draw(st.floats(-9, 3))
    return logits, max(error, 4 * 2.0**-24 * float(np.abs(logits).max())), rng


@pytest.mark.parametrize("measure", EVERY, ids=lambda m: f"{m.name}-{m.members}")
@given(problem=problems())
@settings(max_examples=50)
def test_no_score_is_further_off_than_its_slack(
    measure: Measure, problem: tuple[Logits, float, np.random.Generator]
) -> None:
    check(measure, *problem)


@pytest.mark.parametrize("measure", EVERY, ids=lambda m: f"{m.name}-{m.members}")
@pytest.mark.parametrize("error", [1e-7, 1e-5, 1e-3, 0.1, 1.0, 20.0, 300.0])
def test_rows_of_few_values(measure: Measure, error: float, rng: np.random.Generator) -> None:
    values = [0.0, 1e-6, 0.5, 1.0, 3.0, 17.0, 87.0, 87.5]
    logits = rng.choice(np.float32(values), size=(300, 2 * MEMBERS))
    check(measure, logits, max(error, 88 * 2.0**-22), rng)


@pytest.mark.parametrize("measure", EVERY, ids=lambda m: f"{m.name}-{m.members}")
def test_classes_that_are_ruled_out(measure: Measure, rng: np.random.Generator) -> None:
    logits = (3 * rng.standard_normal((50, 5 * MEMBERS))).astype(np.float32)
    logits[:, ::4] = -np.inf
    scores, likeliest = measure.kernel(logits)
    slack = measure.slack(1e-3, likeliest, logits.shape[1])
    for sign in (-1, 1):
        exact = measure(logits.astype(np.float64) + sign * 1e-3 * rng.uniform(size=logits.shape))
        assert (np.abs(scores - exact) <= slack).all()


@pytest.mark.parametrize("measure", EVERY, ids=lambda m: f"{m.name}-{m.members}")
@pytest.mark.parametrize("error", [np.float64(np.inf), np.inf, 1e39, np.float64(1e308)])
def test_far_off_is_infinitely_far_off_without_a_word(measure: Measure, error: float) -> None:
    logits = np.eye(9, dtype=np.float32)
    scores, likeliest = measure.kernel(logits)
    slack = np.broadcast_to(measure.slack(error, likeliest, 9), scores.shape)
    assert (slack >= np.minimum(error, 1e38)).all()


@pytest.mark.parametrize("measure", EVERY, ids=lambda m: f"{m.name}-{m.members}")
def test_small_errors_give_small_slack(measure: Measure, rng: np.random.Generator) -> None:
    logits = (3 * rng.standard_normal((50, 39))).astype(np.float32)
    _, likeliest = measure.kernel(logits)
    assert np.max(measure.slack(1e-6, likeliest, 39)) < 1e-3
