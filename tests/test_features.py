"""Rows wherever they are: all of them, in order, and each chunk once."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache import features
from clipcache.arrays import Features, RowIds
from clipcache.features import Segment, each_segment, read_ahead, segments
from tests.chunked import InChunks

Problem = tuple[Features, RowIds, int]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw (features, rows, size); rows in any order."""
    n = draw(st.integers(1, 50))
    rows = np.array(draw(st.lists(st.integers(0, n - 1), unique=True)), dtype=np.int64)
    array = np.arange(2 * n, dtype=np.float16).reshape(n, 2)
    return array, np.sort(rows) if draw(st.booleans()) else rows, draw(st.integers(1, 20))


def check(found: list[Segment], array: Features, rows: RowIds) -> None:
    assert [row for segment in found for row in segment.rows.tolist()] == rows.tolist()
    for segment in found:
        assert len(segment.rows)
        np.testing.assert_array_equal(rows[segment.start :][: len(segment.rows)], segment.rows)
        np.testing.assert_array_equal(segment.array[segment.places], array[segment.rows])


@given(problems())
def test_segments_of_an_array_are_its_rows_in_order(problem: Problem) -> None:
    array, rows, size = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "SEGMENT", size)
        found = list(segments(array, rows))
    check(found, array, rows)
    assert all(len(segment.rows) <= size for segment in found)


@given(problems())
def test_segments_of_chunks_are_their_rows_in_order(problem: Problem) -> None:
    array, rows, size = problem
    stored = InChunks(array, size)
    check(list(segments(stored, rows)), array, rows)
    chunks = (rows // size).tolist()
    assert set(stored.reads) == set(chunks)
    if chunks == sorted(chunks):
        assert stored.reads == sorted(set(chunks))


@pytest.mark.parametrize("threads", [1, 3])
def test_work_on_each_segment_comes_back_in_order(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clipcache.threads._limit", threads)
    together = threading.Barrier(threads, timeout=10)

    def total(segment: Segment) -> float:
        together.wait()  # as many at a time as there are threads, or nobody goes on
        return float(segment.array[segment.places].sum())

    array, rows = np.arange(60, dtype=np.float16).reshape(30, 2), np.arange(1, 30)
    done = list(each_segment(InChunks(array, 5), rows, total))
    check([segment for segment, _ in done], array, rows)
    for segment, found in done:
        assert found == array[segment.rows].sum()


def test_work_that_fails_on_a_segment_is_an_error() -> None:
    def fail(segment: Segment) -> None:
        raise ZeroDivisionError(segment.start)

    with pytest.raises(ZeroDivisionError, match="0"):
        list(each_segment(np.ones((9, 2), dtype=np.float16), np.arange(9), fail))


@pytest.mark.parametrize("depth", [1, 2, 30])
def test_reading_ahead_keeps_the_order(depth: int) -> None:
    assert list(read_ahead(iter(range(1, 20)), depth)) == list(range(1, 20))
    assert list(read_ahead(iter(()), depth)) == []


def test_reading_ahead_is_so_far_ahead_and_in_another_thread() -> None:
    made: list[int] = []
    third = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(10):
            assert threading.current_thread() is not threading.main_thread()
            made.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = read_ahead(numbers(), 3)
    assert next(ahead) == 0
    assert third.wait(10)
    assert len(made) <= 4
    assert list(ahead) == list(range(1, 10))


@pytest.mark.parametrize("depth", [1, 2, 30])
def test_reading_ahead_passes_errors_on_when_their_turn_comes(depth: int) -> None:
    def numbers() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("the disk is gone")

    ahead = read_ahead(numbers(), depth)
    assert [next(ahead), next(ahead), next(ahead)] == [1, 2, 3]
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert next(ahead, None) is None


def test_reading_ahead_may_be_given_up() -> None:
    before = set(threading.enumerate())
    ahead = read_ahead(iter(range(1, 100)), 5)
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before
