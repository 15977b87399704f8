"""Every kernel against its twin. Run this file compiled and with NUMBA_DISABLE_JIT=1."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest

import clipcache.kernels
from tests.reference import CASES, LOGITS, Arguments, Case

ROOM = Path(clipcache.kernels.__file__).parent
EVERY = [
    pytest.param(case, make, id=f"{name}-{of}")
    for name, case in CASES.items()
    for of, make in case.inputs.items()
]
SCORES = [pytest.param(case, id=name) for name, case in CASES.items() if case.inputs is LOGITS]


def tolerance(classes: int) -> dict[str, float]:
    """Return how far a float32 result may lie from the twin.

    Compiled, a kernel sums in float64 and rounds once, at the end: half a unit in the last place,
    2^-24 relative, doubled for a midpoint that falls the other way; the absolute part is the
    cancellation in 1 - p, a few float64 roundings a class. Interpreted, NumPy scalars stay in
    float32 all along, so each of c additions may lose 2^-24 of a sum that is at most a few units.
    """
    if numba.config.DISABLE_JIT:
        return {"rtol": 2**-21, "atol": 4 * (classes + 8) * 2**-24}
    return {"rtol": 2**-23, "atol": 4 * (classes + 8) * 2**-53}


def test_every_kernel_is_in_the_table() -> None:
    files = {path.stem for path in ROOM.glob("*.py")} - {"__init__", "jit"}
    assert files == set(CASES)
    for name, case in CASES.items():
        assert case.kernel.__name__ == name


@pytest.mark.parametrize(("case", "make"), EVERY)
def test_kernel_agrees_with_its_twin(case: Case, make: Callable[[], Arguments]) -> None:
    arguments = make()
    found, expected = case.kernel(*arguments), case.twin(*arguments)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, **tolerance(arguments[0].shape[-1]))


@pytest.mark.parametrize(("case", "make"), EVERY)
def test_kernel_leaves_its_inputs_alone(case: Case, make: Callable[[], Arguments]) -> None:
    arguments = make()
    before = [a.copy() for a in arguments]
    case.kernel(*arguments)
    for array, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("case", SCORES)
@pytest.mark.parametrize("bad", [[np.nan, 1], [1, np.nan], [np.inf, 1], [np.inf, np.inf]])
def test_not_a_number_stays_visible(case: Case, bad: list[float]) -> None:
    logits = np.float32([[1, 2, 3], [*bad, 0], [0, *bad], [-np.inf] * 3, [1, 2, 3]])
    with np.errstate(invalid="ignore"):
        found = case.kernel(logits)
    assert np.isnan(found).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("case", SCORES)
@pytest.mark.parametrize("classes", [2, 3, 40, 5000])
def test_even_row_scores_highest_and_a_certain_one_zero(case: Case, classes: int) -> None:
    even = np.full((1, classes), 0.7, dtype=np.float32)
    certain = np.full((1, classes), -np.inf, dtype=np.float32)
    certain[0, classes // 2] = -3.0
    drawn = np.random.default_rng(classes).standard_normal((20, classes)).astype(np.float32)
    scores = case.kernel(np.vstack([even, drawn, certain]))
    assert scores[0] == scores.max()
    assert scores[-1] == 0.0
    assert (scores[1:-1] > 0).all()


def test_maxima_are_those_of_the_docstrings() -> None:
    even = np.zeros((1, 8), dtype=np.float32)
    found = {name: case.kernel(even)[0] for name, case in CASES.items() if case.inputs is LOGITS}
    assert found == {"entropy": 3.0, "least_confidence": 0.875, "margin": 1.0}


@pytest.mark.parametrize("case", SCORES)
def test_order_of_the_classes_does_not_matter(case: Case) -> None:
    logits = np.float32([[0.3, -1.2, 2.5, 2.4], [0, 0, 1, 1]])
    scores = [case.kernel(logits[:, list(p)]) for p in itertools.permutations(range(4))]
    for other in scores:
        np.testing.assert_allclose(other, scores[0], **tolerance(4))
