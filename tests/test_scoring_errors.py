"""What has no score is named; it is never a silent winner or loser."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from clipcache import contenders, projection, scoring
from clipcache.arrays import Features, Logits, RowIds, Vectors
from clipcache.errors import ArrayError
from clipcache.features import Rows
from clipcache.heads.base import LinearWeights
from clipcache.kernels.disagreement import disagreement
from clipcache.kernels.energy import energy
from clipcache.kernels.entropy import entropy
from clipcache.kernels.margin import margin
from clipcache.kernels.measure import Measure
from tests.chunked import InChunks
from tests.reference import entropy_twin


class Identity:
    """Logits are the embedding itself, and nobody knows that it is linear."""

    def logits(self, block: Vectors) -> Logits:
        """Return the block."""
        return block


def linear(d: int, c: int = 3) -> LinearWeights:
    rng = np.random.default_rng((d, c))
    weight = rng.standard_normal((d, c)).astype(np.float32)
    return LinearWeights(weight, np.zeros(c, dtype=np.float32))


FUNCTIONS: dict[str, Callable[[Rows, RowIds, Any], Any]] = {
    "top": lambda pool, rows, head: scoring.top(pool, rows, head, margin, 2),
    "score": lambda pool, rows, head: scoring.score(pool, rows, head, entropy),
    "shortlist": lambda pool, rows, head: scoring.shortlist(pool, rows, head, 2),
}
EVERY = pytest.mark.parametrize("ask", FUNCTIONS.values(), ids=FUNCTIONS)


@EVERY
@pytest.mark.parametrize("head", [linear(3), Identity()], ids=["linear", "other"])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_rows_that_are_not_finite_are_named(
    ask: Callable[[Rows, RowIds, Any], Any],
    head: Any,
    kind: npt.DTypeLike,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool: Features = np.ones((30, 3), dtype=kind)
    pool[[17, 18], 1] = np.nan
    pool[5, 0], pool[6, 2] = np.inf, -np.inf
    pool[25] = np.nan  # not among the rows: nobody looks at it
    monkeypatch.setattr(projection, "BLOCK", block)
    monkeypatch.setattr(projection, "LEAST", 1)
    for stored in (pool, InChunks(pool, 8)):
        with pytest.raises(ArrayError, match=r"2 rows is not a number \(rows 17, 18\)"):
            ask(stored, np.array([1, 18, 17, 3, 4]), head)
        with pytest.raises(ArrayError, match=r"1 rows is not a number \(rows 5\)"):
            ask(stored, np.array([2, 5]), head)
        with pytest.raises(ArrayError, match=r"1 rows is not a number \(rows 6\)"):
            ask(stored, np.array([6]), head)
        ask(stored, np.array([0, 1, 2, 3]), head)


def test_rows_that_are_left_out_still_have_to_be_sound() -> None:
    pool = np.ones((9, 3), dtype=np.float16)
    pool[4] = np.nan
    with pytest.raises(ArrayError, match="rows 4"):
        scoring.top_each(
            pool, np.arange(9), [scoring.Query(linear(3), margin, 2, without=np.array([4]))]
        )


def test_many_rows_without_a_number_end_before_memory_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contenders, "SPARE", 3)
    pool = np.full((100, 3), np.nan, dtype=np.float16)
    with pytest.raises(ArrayError, match="is not a number"):
        scoring.top(pool, np.arange(100), linear(3), margin, 2)


@pytest.mark.parametrize("name", ["top", "score"])
def test_a_head_without_a_number_for_a_sound_row(name: str) -> None:
    class Broken(Identity):
        def logits(self, block: Vectors) -> Logits:
            return np.where(block == 7, np.float32(np.nan), block)

    pool = np.arange(30, dtype=np.float16).reshape(10, 3)
    with pytest.raises(ArrayError, match=r"1 rows is not a number \(rows 2\)"):
        FUNCTIONS[name](pool, np.arange(10), Broken())


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_head_that_is_not_finite(ask: Callable[[Rows, RowIds, Any], Any], bad: float) -> None:
    pool = np.ones((9, 5), dtype=np.float16)
    head = linear(5, 4)
    head.weight[2, 1] = head.weight[0, 3] = bad
    with pytest.raises(ArrayError, match="weights for class 1 are not finite, 2 of 4"):
        ask(pool, np.arange(9), head)
    head = linear(5, 4)
    head.bias[2] = bad
    if np.isneginf(bad):
        ask(pool, np.arange(9), head)
    else:
        with pytest.raises(ArrayError, match="class 2 are not finite, 1 of 4"):
            ask(pool, np.arange(9), head)


@EVERY
@pytest.mark.parametrize("d", [4, 6])
def test_a_head_for_another_encoder(ask: Callable[[Rows, RowIds, Any], Any], d: int) -> None:
    with pytest.raises(ArrayError, match=f"{d} dimensions, the rows have 5"):
        ask(np.ones((9, 5), dtype=np.float16), np.arange(9), linear(d))


@pytest.mark.parametrize("name", ["top", "score"])
def test_no_class_is_possible(name: str) -> None:
    head = linear(3)
    head.bias[:] = -np.inf
    with pytest.raises(ArrayError, match=r"2 rows is not a number \(rows 1, 4\)"):
        FUNCTIONS[name](np.ones((9, 3), dtype=np.float16), np.array([4, 1]), head)


@EVERY
@pytest.mark.parametrize("huge", [1e30, np.inf])
def test_rows_too_long_for_a_head_that_knows_nothing(
    ask: Callable[[Rows, RowIds, Any], Any], huge: float
) -> None:
    """All weights are zero, so that infinitely long rows have no known error."""
    pool = np.ones((9, 3), dtype=np.float32)
    pool[4, 1] = huge
    head = LinearWeights(np.zeros((3, 4), dtype=np.float32), np.zeros(4, dtype=np.float32))
    if np.isfinite(huge):
        ask(pool, np.arange(9), head)
        assert scoring.top(pool, np.arange(9), head, margin, 2)[0].tolist() == [0, 1]
    else:
        with pytest.raises(ArrayError, match="rows 4"):
            ask(pool, np.arange(9), head)


@pytest.mark.parametrize("head", [linear(3), Identity()], ids=["linear", "other"])
def test_rows_whose_squares_overflow_are_sound(head: Any) -> None:
    pool, rows = np.ones((9, 3), dtype=np.float32), np.arange(9)
    pool[4, 1] = 1e30  # no doubt about this one
    doubt = entropy_twin(head.logits(pool).astype(np.float64))
    assert scoring.top(pool, rows, head, entropy, 9)[0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 4]
    np.testing.assert_allclose(scoring.score(pool, rows, head, entropy), doubt, atol=1e-6)
    classes, probs = scoring.shortlist(pool, rows, head, 2)
    np.testing.assert_array_equal(classes[:, 0], head.logits(pool).argmax(axis=1))
    assert probs[4].tolist() == [1, 0]


@pytest.mark.parametrize("measure", [energy, entropy], ids=lambda m: m.name)
def test_an_error_beyond_float32_is_no_warning(measure: Measure) -> None:
    pool = np.ones((9, 3), dtype=np.float32)
    pool[4, 1] = 1e15
    head = LinearWeights(np.float32([[1e30, 0]] * 3), np.zeros(2, dtype=np.float32))
    assert scoring.top(pool, np.arange(9), head, measure, 2)[0].tolist() == [0, 1]


@pytest.mark.parametrize("rows", [[3, -1], [12], [0, 10]])
def test_rows_that_do_not_exist_are_an_error(rows: list[int]) -> None:
    x = np.ones((10, 3), dtype=np.float16)
    head = LinearWeights(np.ones((3, 2), np.float32), np.zeros(2, np.float32))
    for call in (
        lambda: scoring.score(x, np.array(rows), head, margin),
        lambda: scoring.top(x, np.array(rows), head, margin, 1),
    ):
        with pytest.raises(ArrayError, match=r"rows run from .* but there are 10"):
            call()


def test_partial_sums_too_large_for_float32_are_scored_in_float64() -> None:
    x = np.full((1, 5), 1e19, dtype=np.float32)
    weight = np.zeros((5, 3), dtype=np.float32)
    weight[:, 0] = [-3e19, -3e19, 3e19, 3e19, 3e19]
    head = LinearWeights(weight, np.zeros(3, np.float32))
    rows = np.arange(1)
    assert scoring.score(x, rows, head, margin).tolist() == [0.0]
    assert scoring.top(x, rows, head, margin, 1)[1].tolist() == [0.0]
    with pytest.raises(ArrayError, match="rows 0"):
        scoring.shortlist(x, rows, head, 2)


def test_more_classes_than_there_are_is_an_error() -> None:
    x = np.ones((10, 3), dtype=np.float16)
    head = LinearWeights(np.ones((3, 2), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ArrayError, match=r"3 classes .* has 2"):
        scoring.shortlist(x, np.arange(10), head, 3)
    assert scoring.shortlist(x, np.arange(10), head, 0)[0].shape == (10, 0)


def test_an_energy_whose_parts_overflow_is_still_exact() -> None:
    x = np.zeros((2, 6), dtype=np.float32)
    x[0, :5], x[1, 5] = 1e19, 1e17
    weight = np.zeros((6, 3), dtype=np.float32)
    weight[:5, 0], weight[5, 0] = [-3e19, -3e19, 3e19, 3e19, 3e19], 3e19
    head = LinearWeights(weight, np.zeros(3, np.float32))
    for k in (1, 2):
        assert scoring.top(x, np.arange(2), head, energy, k)[0].tolist() == [1, 0][:k]


def test_a_head_that_only_looks_linear_is_asked_for_its_logits() -> None:
    class Bent:
        weight = np.eye(3, dtype=np.float32)
        bias = np.zeros(3, dtype=np.float32)

        def logits(self, block: Vectors) -> Logits:
            return -block

    x = np.float16([[5, 0, 0], [5, 5, 0], [0, 0, 5]])
    rows, _ = scoring.top(x, np.arange(3), Bent(), energy, 1)
    assert rows.tolist() == [1]


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint16])
def test_rows_of_another_type_are_an_error(dtype: type) -> None:
    with pytest.raises(ArrayError, match="float16 or float32, found"):
        scoring.score(np.ones((4, 3), dtype=dtype), np.arange(4), linear(3), margin)


def test_row_numbers_may_be_of_any_whole_type_but_no_mask() -> None:
    x = np.ones((4, 3), dtype=np.float16)
    found, _ = scoring.top(x, np.arange(4, dtype=np.uint8), linear(3), margin, 2)
    assert found.tolist() == [0, 1]
    with pytest.raises(ArrayError, match="array of bool"):
        scoring.top(x, np.ones(4, dtype=np.bool_), linear(3), margin, 2)


@pytest.mark.parametrize(
    ("weight", "bias"), [((3, 0), (0,)), ((3, 5), (1,)), ((3,), (3,)), ((3, 2), (3,))]
)
def test_weights_that_make_no_head_are_an_error(
    weight: tuple[int, ...], bias: tuple[int, ...]
) -> None:
    head = LinearWeights(np.ones(weight, np.float32), np.ones(bias, np.float32))
    with pytest.raises(ArrayError, match=r"must be \(d, c\)"):
        scoring.score(np.ones((4, 3), dtype=np.float16), np.arange(4), head, margin)


def test_fewer_than_no_rows_are_an_error() -> None:
    with pytest.raises(ArrayError, match="-1 rows"):
        scoring.top(np.ones((4, 3), dtype=np.float16), np.arange(4), linear(3), margin, -1)


def test_logits_that_do_not_divide_among_the_members_are_an_error() -> None:
    with pytest.raises(ArrayError, match=r"5 logits .* 3 heads"):
        disagreement(3)(np.zeros((2, 5), dtype=np.float32))


def test_after_a_failure_nobody_goes_on_and_no_thread_is_left() -> None:
    class Failing:
        calls = 0

        def logits(self, block: Vectors) -> Logits:
            Failing.calls += 1
            raise ZeroDivisionError

    pool = InChunks(np.ones((400, 3), dtype=np.float16), 4)
    before = set(threading.enumerate())
    with pytest.raises(ZeroDivisionError):
        scoring.score(pool, np.arange(400), Failing(), margin, threads=2)
    assert set(threading.enumerate()) <= before
    assert Failing.calls < 20
