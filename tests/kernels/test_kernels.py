"""Every kernel against its twin. Run this folder compiled and with NUMBA_DISABLE_JIT=1."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import clipcache.kernels
from tests.reference import CASES, LOGITS, MEASURES, MEMBERS, Arguments, Case, normal

ROOM = Path(clipcache.kernels.__file__).parent
NOT_KERNELS = {"__init__", "jit", "measure"}
EVERY = [
    pytest.param(case, make, id=f"{name}-{of}")
    for name, case in CASES.items()
    for of, make in case.inputs.items()
]
SCORED = [
    pytest.param(case, make, id=f"{name}-{of}")
    for name, case in MEASURES.items()
    for of, make in case.inputs.items()
]
SCORES = [pytest.param(case, id=name) for name, case in MEASURES.items()]
UNSURE = [
    pytest.param(MEASURES[name], id=name) for name in ("entropy", "least_confidence", "margin")
]
"""The measures of one head that an even row leads."""


def tolerance(classes: int, dtype: npt.DTypeLike) -> dict[str, float]:
    """Return how far a result may lie from the twin.

    Each of c additions may lose half a unit in the last place of a sum that is at most c, and
    makes the probabilities wrong by as much relative to themselves; an entropy weighs them with up
    to log2(c). A float32 exponential adds four halves, a difference to 1 some more. The relative
    part is for energies, which are as large as the logits.
    """
    half = float(np.finfo(dtype).eps) / 2
    return {"rtol": 4 * half, "atol": (classes + 16) * (1 + np.log2(classes)) * half}


def test_every_kernel_is_in_the_table() -> None:
    assert {path.stem for path in ROOM.glob("*.py")} - NOT_KERNELS == set(CASES)
    for name, case in MEASURES.items():
        assert case.kernel.name == name  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("case", "make"), SCORED)
def test_measure_agrees_with_its_twin(
    case: Case, make: Callable[[], Arguments], dtype: npt.DTypeLike
) -> None:
    (logits,) = make()
    found, expected = case.kernel(logits.astype(dtype)), case.twin(logits)
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, **tolerance(logits.shape[1], dtype))


@pytest.mark.parametrize(("case", "make"), EVERY)
def test_kernel_leaves_its_inputs_alone(case: Case, make: Callable[[], Arguments]) -> None:
    arguments = make()
    before = [a.copy() for a in arguments]
    case.kernel(*arguments)
    for array, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", SCORES)
def test_a_row_scores_the_same_bits_wherever_it_stands(case: Case, dtype: npt.DTypeLike) -> None:
    logits = normal(67, 12).astype(dtype)
    scores = case.kernel(logits)
    np.testing.assert_array_equal(case.kernel(np.asfortranarray(logits)), scores)
    for start, stop in [(0, 1), (1, 18), (30, 67), (66, 67)]:
        np.testing.assert_array_equal(case.kernel(logits[start:stop]), scores[start:stop])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", SCORES)
@pytest.mark.parametrize("bad", [[np.nan, 1], [1, np.nan], [np.inf, 1], [np.inf, np.inf]])
def test_not_a_number_stays_visible(case: Case, bad: list[float], dtype: npt.DTypeLike) -> None:
    logits = np.array([[1, 2, 3], [*bad, 0], [0, *bad], [-np.inf] * 3, [1, 2, 3]], dtype=dtype)
    with np.errstate(invalid="ignore"):
        found = case.kernel(logits)
    assert np.isnan(found).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("case", SCORES)
def test_probability_of_the_likeliest_class_is_never_below_the_largest(case: Case) -> None:
    logits = np.vstack([normal(60, 6), np.zeros((1, 6)), 50 * np.eye(6)]).astype(np.float32)
    _, likeliest = case.kernel.kernel(logits)  # type: ignore[attr-defined]
    width = 6 // MEMBERS if case is CASES["disagreement"] else 6
    members = logits.astype(np.float64).reshape(len(logits), -1, width)
    powers = np.exp(members - members.max(axis=2, keepdims=True))
    largest = (powers / powers.sum(axis=2, keepdims=True)).max(axis=(1, 2))
    assert likeliest.dtype == np.float32
    assert (likeliest >= largest * (1 - 2**-20)).all()


@pytest.mark.parametrize("case", UNSURE)
@pytest.mark.parametrize("classes", [2, 3, 40, 5000])
def test_even_row_scores_highest_and_a_certain_one_zero(case: Case, classes: int) -> None:
    even = np.full((1, classes), 0.7, dtype=np.float32)
    certain = np.full((1, classes), -np.inf, dtype=np.float32)
    certain[0, classes // 2] = -3.0
    scores = case.kernel(np.vstack([even, normal(20, classes, scale=1), certain]))
    assert scores[0] == scores.max()
    assert scores[-1] == 0.0
    assert (scores[1:-1] > 0).all()


def test_maxima_are_those_of_the_docstrings() -> None:
    even = np.zeros((1, 8), dtype=np.float32)
    found = {name: case.kernel(even)[0] for name, case in MEASURES.items() if case.inputs is LOGITS}
    energy = found.pop("energy")
    assert found == {"entropy": 3.0, "least_confidence": 0.875, "margin": 1.0}
    assert energy == pytest.approx(-np.log(8))


def test_committee_disagrees_where_each_is_sure_of_another_class() -> None:
    kernel = CASES["disagreement"].kernel
    each = np.float32([[90, 0, 0, 0, 90, 0, 0, 0, 90]])
    same = np.tile(normal(20, 5), MEMBERS)
    assert kernel(each) == pytest.approx(np.log2(MEMBERS), rel=1e-6)
    assert kernel(same) == pytest.approx(0, abs=1e-5)
    assert (kernel(normal(200, 3 * MEMBERS)) >= 0).all()


@pytest.mark.parametrize("case", SCORES)
def test_order_of_the_classes_does_not_matter(case: Case) -> None:
    logits = np.float32([[0.3, -1.2, 2.5, 2.4], [0, 0, 1, 1]])
    members = MEMBERS if case is CASES["disagreement"] else 1
    scores = [
        case.kernel(np.tile(logits[:, list(p)], members) * np.float32(1.5))
        for p in itertools.permutations(range(4))
    ]
    for other in scores:
        np.testing.assert_allclose(other, scores[0], **tolerance(4 * members, np.float32))
