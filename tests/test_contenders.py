"""Who may be among the best k: against sorting everything."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache import contenders
from clipcache.arrays import RowIds
from clipcache.contenders import Contenders
from clipcache.errors import ArrayError

Float64 = npt.NDArray[np.float64]
NONE = np.empty(0, dtype=np.int64)


def sorted_twin(rows: RowIds, scores: Float64, k: int) -> tuple[list[int], list[float]]:
    """Return the k best, ties by row."""
    order = sorted(range(len(rows)), key=lambda i: (-scores[i], rows[i]))[:k]
    return [int(rows[i]) for i in order], [float(scores[i]) for i in order]


def exact_of(rows: RowIds, scores: Float64) -> Callable[[RowIds], Float64]:
    """Return a function from rows to scores that knows only these rows."""
    known = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    return lambda asked: np.array([known[row] for row in asked.tolist()], dtype=np.float64)


def offers(
    rows: RowIds, scores: Float64, rng: np.random.Generator, vague: bool
) -> list[tuple[RowIds, npt.NDArray[np.float32], npt.NDArray[np.floating] | float]]:
    """Return parts in any order, with float32 scores that are off by less than they claim."""
    order = rng.permutation(len(rows))
    cuts = np.sort(rng.integers(0, len(rows) + 1, size=rng.integers(0, 6)))
    parts: list[tuple[RowIds, npt.NDArray[np.float32], npt.NDArray[np.floating] | float]] = []
    for part in np.split(order, cuts):
        slack = rng.choice([0.0, 1e-3, 0.3, 5.0, np.inf] if vague else [0.0], size=len(part))
        near = np.where(np.isfinite(slack), slack, 1.0) * rng.uniform(-0.9, 0.9, len(part))
        guessed = (scores[part] + near).astype(np.float32)
        off = np.abs(guessed - scores[part])
        # The sum of score and slack is rounded to float32 as well: measures add that to the slack.
        slack = np.where(off > 0, np.maximum(slack, off + 2.0**-22 * (1 + np.abs(guessed))), slack)
        if vague:
            guessed[rng.random(len(part)) < 0.05] = np.nan  # whatever is claimed
        forms = [slack, np.nextafter(slack.astype(np.float32), np.float32(np.inf))]
        forms += [float(slack.max(initial=0.0))]
        parts.append((rows[part], guessed, forms[rng.integers(3)] if vague else 0.0))
    return parts


@st.composite
def problems(draw: st.DrawFn) -> tuple[RowIds, Float64, int, RowIds, int, int]:
    """Draw (rows, scores, k, without, spare, seed), with few or many ties."""
    n = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = rng.permutation(3 * n)[:n].astype(np.int64)
    drawn = [
        rng.standard_normal(n),
        rng.integers(0, 3, n) / 2,
        1 + 1e-12 * rng.integers(0, 5, n),  # the same in float32
        np.zeros(n),
    ]
    without = rng.permutation(3 * n)[: draw(st.integers(0, n))].astype(np.int64)
    k, spare = draw(st.integers(0, n + 5)), draw(st.sampled_from([0, 1, 10, 65_536]))
    return rows, drawn[draw(st.integers(0, 3))], k, without, spare, draw(st.integers(0, 99))


@settings(max_examples=200)
@given(problems(), st.booleans(), st.sampled_from([1, 3]))
def test_best_are_the_head_of_the_sorted_whole(
    problem: tuple[RowIds, Float64, int, RowIds, int, int], vague: bool, threads: int
) -> None:
    rows, scores, k, without, spare, seed = problem
    if not vague:  # points: as where nothing but float32 scores is known
        scores = scores.astype(np.float32).astype(np.float64)
    inside = ~np.isin(rows, without)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contenders, "SPARE", spare)
        found = Contenders(k, without, exact_of(rows, scores))
        parts = offers(rows, scores, np.random.default_rng(seed), vague)
        if threads == 1:
            for part in parts:
                found.offer(*part)
        else:
            with ThreadPoolExecutor(threads) as workers:
                list(workers.map(lambda part: found.offer(*part), parts))
        best, values = found.best()
    assert (best.dtype, values.dtype) == (np.int64, np.float64)
    expected = sorted_twin(rows[inside], scores[inside], k)
    assert (best.tolist(), values.tolist()) == expected


def test_only_who_cannot_be_told_apart_is_asked_about() -> None:
    asked: list[int] = []

    def exact(rows: RowIds) -> Float64:
        asked.extend(rows.tolist())
        return np.where(rows == 13, 9.0, 8.9)

    found = Contenders(2, NONE, exact)
    scores = np.arange(20, dtype=np.float32)
    scores[13], scores[7] = 18.001, 18.0
    found.offer(np.arange(20), scores, np.where(np.isin(np.arange(20), [7, 13]), 12.0, 0.0))
    rows, best = found.best()
    assert rows.tolist() == [19, 18]
    assert best.tolist() == [19.0, 18.0]
    assert sorted(asked) == [7, 13]


def test_points_are_never_asked_about() -> None:
    def exact(rows: RowIds) -> Float64:
        assert not len(rows)
        return np.empty(0)

    found = Contenders(5, NONE, exact)
    for start in range(0, 90, 9):
        found.offer(np.arange(start, start + 9), np.float32(np.arange(9)), 0.0)
    rows, scores = found.best()
    assert rows.tolist() == [8, 17, 26, 35, 44]
    assert scores.tolist() == [8.0] * 5


def test_so_many_near_ties_that_they_are_decided_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contenders, "SPARE", 10)
    asked: list[int] = []

    def exact(rows: RowIds) -> Float64:
        asked.append(len(rows))
        return -rows.astype(np.float64)

    found = Contenders(3, NONE, exact)
    for start in range(0, 200, 5):
        found.offer(np.arange(start, start + 5), np.zeros(5, dtype=np.float32), 1000.0)
    assert found.best()[0].tolist() == [0, 1, 2]
    assert len(asked) > 2
    assert max(asked) <= 4 * 3 + 10 + 5


@pytest.mark.parametrize("spare", [0, 65_536])
def test_a_score_that_is_not_a_number_is_an_error_that_names_the_rows(
    spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contenders, "SPARE", spare)

    def exact(rows: RowIds) -> Float64:
        return np.where(rows % 3, 1.0, np.nan)

    def offered() -> None:
        found = Contenders(2, NONE, exact)
        found.offer(np.arange(8, 0, -1), np.full(8, np.nan, dtype=np.float32), 0.0)
        found.best()

    with pytest.raises(ArrayError, match=r"2 rows is not a number \(rows 3, 6\)"):
        offered()


def test_rows_that_are_left_out_may_be_anything() -> None:
    found = Contenders(2, np.array([5, 1]), lambda rows: np.zeros(len(rows)))
    found.offer(np.array([1, 5, 2]), np.float32([np.nan, 9, 0]), 0.0)
    assert found.best()[0].tolist() == [2]


def test_a_long_list_of_rows_is_cut_short() -> None:
    assert "9 rows is not a number (rows 0, 1, 2, 3, 4, ...)" in contenders.not_a_number(
        np.arange(9)[::-1]
    )
