"""The streamed best k against a float64 loop over everything, sorted: rows, order and scores."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache import contenders, features, projection, scoring
from clipcache.arrays import Features, Logits, RowIds, Scores, Vectors
from clipcache.heads.base import LinearWeights
from clipcache.kernels.energy import energy
from clipcache.kernels.margin import margin
from clipcache.kernels.measure import Measure
from clipcache.scoring import Query
from tests.chunked import InChunks
from tests.reference import CASES, MEASURES, MEMBERS, exact_twin, normal

Float64 = npt.NDArray[np.float64]
Sizes = tuple[int, int, int]
NAMES = st.sampled_from(sorted(MEASURES))
SIZES = st.tuples(st.integers(1, 30), st.integers(1, 40), st.integers(1, 9))
"""Rows of a block, of a segment, and of a part that is scored in float64."""


class OnlyLogits:
    """A head of which nothing but its logits is known."""

    def __init__(self, head: LinearWeights) -> None:
        self._head = head

    def logits(self, block: Vectors) -> Logits:
        """Return those of the other head, row by row: BLAS would make them depend on the block."""
        assert block.dtype == np.float32
        return (block[:, :, None] * self._head.weight).sum(axis=1) + self._head.bias


def measure_of(name: str) -> Measure:
    found = CASES[name].kernel
    assert isinstance(found, Measure)
    return found


@contextmanager
def sizes(block: int, segment: int, exact: int, spare: int = 65_536) -> Iterator[None]:
    """Make everything that is counted in rows so small that a small pool has several of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(projection, "BLOCK", block)
        patch.setattr(projection, "LEAST", 1)
        patch.setattr(projection, "LOGITS", 40)
        patch.setattr(projection, "EXACT", exact)
        patch.setattr(features, "SEGMENT", segment)
        patch.setattr(contenders, "SPARE", spare)
        yield


def exact_scores(pool: Features | Vectors, rows: RowIds, head: LinearWeights, name: str) -> Float64:
    """Return float64 scores: the sum of the twin, and the kernel, which must agree with its twin.

    Where two scores differ by one rounding, the twin's softmax may swap them.
    """
    x, weight = pool[rows].astype(np.float64), head.weight.astype(np.float64)
    logits = exact_twin(x, weight, head.bias.astype(np.float64))
    scores = measure_of(name)(logits)
    np.testing.assert_allclose(scores, MEASURES[name].twin(logits), rtol=1e-12, atol=1e-12)
    return scores


def sorted_twin(rows: RowIds, scores: npt.NDArray[np.floating], k: int) -> tuple[RowIds, Scores]:
    """Return the k best, ties by row."""
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order].astype(np.float32)


def assert_same(found: tuple[RowIds, Scores], expected: tuple[RowIds, Scores]) -> None:
    rows, scores = found
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(scores, expected[1])


def drawn_pool(kind: str, n: int, d: int, rng: np.random.Generator) -> Features | Vectors:
    """Return rows that are hard to tell apart, or of any size."""
    x = rng.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    match kind:
        case "unit":
            return x.astype(np.float16)
        case "copies":
            return x.astype(np.float16)[rng.integers(0, max(1, n // 4), n)]
        case "few values":
            return rng.integers(-1, 2, (n, d)).astype(np.float16)
        case "nearly the same":  # some numbers differ by one or two float32 units in the last place
            return (x[:1] * (1 + 1e-7 * rng.integers(-1, 2, (n, d)))).astype(np.float32)
        case "huge and tiny":
            return (x * 10.0 ** rng.integers(-30, 31, (n, 1))).astype(np.float32)
    raise AssertionError(kind)


def drawn_head(kind: str, d: int, c: int, rng: np.random.Generator) -> LinearWeights:
    weight, bias = rng.standard_normal((d, c)), rng.standard_normal(c)
    match kind:
        case "usual":
            weight *= 5
        case "sure":
            weight *= 300
        case "unsure":
            weight, bias = 1e-7 * weight, 0 * bias
        case "nearly the same":
            weight, bias = weight[:, :1] * (1 + 1e-7 * weight), 0 * bias
        case "huge":
            weight, bias = 1e30 * weight, 1e30 * bias
        case "tiny":
            weight, bias = 1e-30 * weight, 1e-30 * bias
        case "mixed":
            weight *= 10.0 ** rng.integers(-30, 31, (d, 1))
        case "ruled out":
            bias[0 : c if c > MEMBERS else 0 : c // MEMBERS] = -np.inf  # the first of each member
    return LinearWeights(weight.astype(np.float32), bias.astype(np.float32))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Features | Vectors, RowIds, LinearWeights, int]:
    """Draw (features, rows, head, k)."""
    n, d = draw(st.integers(1, 90)), draw(st.sampled_from([1, 3, 16, 37]))
    c = MEMBERS * draw(st.sampled_from([1, 2, 3, 14]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pools = ["unit", "copies", "few values", "nearly the same", "huge and tiny"]
    heads = ["usual", "sure", "unsure", "nearly the same", "huge", "tiny", "mixed", "ruled out"]
    pool = drawn_pool(draw(st.sampled_from(pools)), n, d, rng)
    head = drawn_head(draw(st.sampled_from(heads)), d, c, rng)
    rows = rng.permutation(n)[: draw(st.integers(0, n))]
    return pool, rows, head, draw(st.integers(0, n + 3))


@given(problems(), NAMES, SIZES, st.sampled_from([0, 65_536]), st.integers(1, 2))
@settings(max_examples=400)
def test_top_of_a_linear_head_is_that_of_a_float64_loop(
    problem: tuple[Features | Vectors, RowIds, LinearWeights, int],
    name: str,
    small: Sizes,
    spare: int,
    threads: int,
) -> None:
    pool, rows, head, k = problem
    expected = exact_scores(pool, rows, head, name)
    if np.abs(expected).max(initial=0) > 3e38:  # an energy that is no float32 number
        return
    with sizes(*small, spare):
        found = scoring.top(pool, rows, head, measure_of(name), k, threads=threads)
    assert_same(found, sorted_twin(rows, expected, k))


@pytest.mark.parametrize("c", [1, 2, 5000])
@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"disagreement"}))
def test_one_two_and_many_classes(name: str, c: int) -> None:
    pool = (normal(60, 16) / 12).astype(np.float16)
    pool[40:] = pool[:20]
    head = LinearWeights(normal(16, c), normal(1, c)[0])
    rows = np.arange(60)
    expected = sorted_twin(rows, exact_scores(pool, rows, head, name), 25)
    assert_same(scoring.top(pool, rows, head, measure_of(name), 25), expected)


@pytest.mark.parametrize("name", ["energy", "margin"])
def test_roundings_that_all_go_the_same_way_turn_the_order_round(name: str) -> None:
    """The first row is ahead, but float32 loses all that it is ahead by, dimension by dimension."""
    pool = np.zeros((3, 128), dtype=np.float32)
    pool[0], pool[:, 0] = 2.0**-12, [1, 1 + 50 * 2.0**-23, 1 + 40 * 2.0**-23]
    head = LinearWeights(-64 * pool[:1].T, np.zeros(1, dtype=np.float32))
    if name == "margin":  # a rival that is just as likely for the first row, and less for others
        weight = np.hstack([-head.weight, 0 * head.weight])
        head = LinearWeights(weight, np.float32([0, 64 * (1 + 64 * 2.0**-23)]))
    rows = np.arange(3)
    expected = sorted_twin(rows, exact_scores(pool, rows, head, name), 3)
    assert expected[0].tolist() == [0, 1, 2]
    for k in (1, 2, 3):
        found = scoring.top(pool, rows, head, measure_of(name), k)
        assert_same(found, (expected[0][:k], expected[1][:k]))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("name", sorted(MEASURES))
def test_a_pool_of_several_segments(
    name: str, kind: npt.DTypeLike, rng: np.random.Generator
) -> None:
    n = 2 * features.SEGMENT + 777
    pool = drawn_pool("unit", n, 24, rng).astype(kind)
    pool[9000:9999] = pool[:999]  # each of these scores twice
    head = drawn_head("usual", 24, 12, rng)
    rows = np.flatnonzero(rng.random(n) < 0.9)
    expected = sorted_twin(rows, exact_scores(pool, rows, head, name), 3000)
    assert_same(scoring.top(pool, rows, head, measure_of(name), 3000, threads=2), expected)


@given(problems(), NAMES, SIZES, st.integers(1, 2))
@settings(max_examples=100)
def test_scores_come_in_the_order_of_the_rows(
    problem: tuple[Features | Vectors, RowIds, LinearWeights, int],
    name: str,
    small: Sizes,
    threads: int,
) -> None:
    pool, rows, head, _ = problem
    expected = exact_scores(pool, rows, head, name)
    size = np.linalg.norm(pool.astype(np.float64), axis=1).max() * np.abs(head.weight).max()
    if size > 1e3:  # further off than can be checked row by row
        return
    with sizes(*small):
        found = scoring.score(pool, rows, head, measure_of(name), threads=threads)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * (30 + size))


def test_a_score_that_overflows_float32_on_the_way_is_found_in_float64() -> None:
    pool = np.float32([[1e20, 1], [1, 1], [-1e20, 2]])
    head = LinearWeights(np.float32([[1e20, 1e20, 1], [0, 0, 0]]), np.zeros(3, dtype=np.float32))
    rows = np.arange(3)
    assert scoring.score(pool, rows, head, margin).tolist() == [1, 1, 0]
    assert scoring.top(pool, rows, head, margin, 3)[0].tolist() == [0, 1, 2]


@given(problems(), NAMES, SIZES, st.integers(1, 2))
@settings(max_examples=60)
def test_a_head_that_is_not_linear_counts_as_exact(
    problem: tuple[Features | Vectors, RowIds, LinearWeights, int],
    name: str,
    small: Sizes,
    threads: int,
) -> None:
    pool, rows, linear, k = problem
    if np.abs(pool).max() > 1e4 or np.abs(linear.weight).max() > 1e4:
        return
    head = OnlyLogits(linear)
    expected = measure_of(name)(head.logits(pool[rows].astype(np.float32)))
    with sizes(*small):
        best = scoring.top(pool, rows, head, measure_of(name), k, threads=threads)
        scores = scoring.score(pool, rows, head, measure_of(name), threads=threads)
    assert_same(best, sorted_twin(rows, expected, k))
    np.testing.assert_array_equal(scores, expected)


@given(problems(), SIZES, st.data())
@settings(max_examples=60)
def test_several_questions_at_once_get_the_answers_of_one_by_one(
    problem: tuple[Features | Vectors, RowIds, LinearWeights, int],
    small: Sizes,
    data: st.DataObject,
) -> None:
    pool, rows, _, _ = problem
    if np.abs(pool).max() > 1e4:
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    queries = []
    for _ in range(data.draw(st.integers(1, 4))):
        head = drawn_head("usual", pool.shape[1], MEMBERS * int(rng.integers(1, 5)), rng)
        asked = OnlyLogits(head) if data.draw(st.integers(0, 3)) == 0 else head
        without = rng.permutation(len(pool))[: rng.integers(0, len(pool) + 1)]
        measure = measure_of(data.draw(NAMES))
        queries.append(Query(asked, measure, int(rng.integers(0, 20)), without))
    with sizes(*small):
        together = scoring.top_each(pool, rows, queries, threads=2)
        stored = InChunks(pool, small[0])
        chunked = scoring.top_each(stored, np.sort(rows), queries, threads=2)
    chunks = np.unique(rows // small[0]).tolist()
    assert stored.reads == chunks  # once for all questions
    for query, found, also in zip(queries, together, chunked, strict=True):
        left = np.setdiff1d(rows, query.without)
        alone = scoring.top(pool, left, query.head, query.measure, query.k)
        assert_same(found, alone)
        assert_same(also, alone)


def test_no_question_no_answer() -> None:
    assert scoring.top_each(np.zeros((4, 3), dtype=np.float16), np.arange(4), []) == []


@given(problems(), SIZES, st.integers(1, 2))
@settings(max_examples=60)
def test_shortlist_is_in_the_order_of_the_rows(
    problem: tuple[Features | Vectors, RowIds, LinearWeights, int], small: Sizes, threads: int
) -> None:
    pool, rows, head, k = problem
    c = head.weight.shape[1]
    k = min(k, c)
    x = np.clip(pool, -1e4, 1e4)
    head = LinearWeights(np.round(np.clip(head.weight, -1e4, 1e4)), head.bias)
    with sizes(*small):
        classes, probs = scoring.shortlist(x, rows, head, k, threads=threads)
    assert (classes.dtype, probs.dtype) == (np.int64, np.float32)
    assert classes.shape == probs.shape == (len(rows), k)
    logits = exact_twin(x[rows].astype(np.float64), head.weight.astype(np.float64), head.bias)
    found = np.take_along_axis(logits, classes, axis=1)
    expected = -np.sort(-logits, axis=1)[:, :k]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    assert (np.diff(probs, axis=1) <= 0).all()
    assert ((probs >= 0) & (probs <= 1)).all()


def test_shortlist_by_hand() -> None:
    pool = np.float16([[0, 0, 0], [1, 3, 2], [5, 5, 0]])
    head = LinearWeights(np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32))
    classes, probs = scoring.shortlist(pool, np.array([2, 1, 0]), head, 2)
    assert classes.tolist() == [[0, 1], [1, 2], [0, 1]]
    low, mid = 1 / (2 + np.exp(-5)), 1 / (1 + np.exp(-1) + np.exp(-2))
    expected = [[low, low], [mid, mid * np.exp(-1)], [1 / 3, 1 / 3]]
    np.testing.assert_allclose(probs, expected, rtol=1e-6)


@pytest.mark.parametrize("linear", [True, False])
def test_no_rows_no_scores(linear: bool) -> None:
    pool, none = np.zeros((4, 3), dtype=np.float16), np.empty(0, dtype=np.int64)
    weights = LinearWeights(np.eye(3, dtype=np.float32), np.zeros(3, dtype=np.float32))
    head = weights if linear else OnlyLogits(weights)
    for rows in (pool, InChunks(pool, 2)):
        assert scoring.score(rows, none, head, margin).shape == (0,)
        assert scoring.shortlist(rows, none, head, 2)[0].shape == (0, 2)
        best, scores = scoring.top(rows, none, head, margin, 3)
        assert (best.dtype, scores.dtype, len(best), len(scores)) == (np.int64, np.float32, 0, 0)


def test_a_bias_of_minus_infinity_rules_a_class_out() -> None:
    pool = np.float16([[9, 0, 1], [0, 9, 1], [4, 4, 4]])
    head = LinearWeights(np.eye(3, dtype=np.float32), np.float32([0, -np.inf, 0]))
    rows, scores = scoring.top(pool, np.arange(3), head, margin, 3)
    assert rows.tolist() == [2, 1, 0]
    assert scores[0] == 1
    classes, probs = scoring.shortlist(pool, np.arange(3), head, 3)
    assert classes.tolist() == [[0, 2, 1], [2, 0, 1], [0, 2, 1]]
    assert probs[:, 2].tolist() == [0, 0, 0]


def test_energy_of_a_pool_far_from_the_weights_is_highest() -> None:
    pool = np.float16([[1, 0], [0.1, 0], [-1, 0]])
    head = LinearWeights(np.float32([[3, 2], [0, 0]]), np.zeros(2, dtype=np.float32))
    assert scoring.top(pool, np.arange(3), head, energy, 2)[0].tolist() == [2, 1]
