from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.experiment import simulate
from clipcache.heads.base import LinearWeights
from clipcache.pool import Pool
from clipcache.run_config import RunConfig
from clipcache.strategies.margin import Margin
from clipcache.whitening import unit


def test_the_number_of_threads_changes_no_bit(rng: np.random.Generator) -> None:
    n, d, classes = 2200, 512, 6
    labels = rng.integers(0, classes, n)
    x = unit(rng.standard_normal((classes, d))[labels] + 2 * rng.standard_normal((n, d)))
    rows, names = np.arange(n), tuple("abcdef")
    data = Dataset(x.astype(np.float16), labels, rows[200:], rows[:200], names, None, "made up")
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            *_, last = simulate(data, RunConfig(rounds=2))
        assert isinstance(last.head, LinearWeights)
        found.append((last.asked, last.head.weight, last.head.bias))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


CONFIG = RunConfig("margin", "linear", init="stratified:1", batch=5, rounds=1)
Choose = Callable[[Pool], object]
WRONG: dict[str, tuple[Choose, str]] = {
    "a row twice": (lambda p: p.unlabeled[[3, 0, 3, 1, 2]], r"row \d+ more than once"),
    "labelled rows": (lambda p: p.labeled[:5], r"row \d+, which is not among"),
    "below the pool": (lambda p: np.arange(-5, 0), "row -5, which is not among"),
    "above the pool": (lambda p: 10_000 + np.arange(5), "row 10000, which is not among"),
    "too few": (lambda p: p.unlabeled[:4], r"int64 of shape \(4,\)"),
    "a column": (lambda p: p.unlabeled[:5, None], r"int64 of shape \(5, 1\)"),
    "scores": (lambda p: np.linspace(0, 1, 5), r"float64 of shape \(5,\)"),
    "nothing": (lambda p: None, r"object of shape \(\)"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("subsample", [None, 60])
def test_a_strategy_that_chooses_wrong_rows_is_named(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, case: str, subsample: int | None
) -> None:
    choose, words = WRONG[case]
    monkeypatch.setattr(Margin, "select", lambda self, pool, budget, *, rng: choose(pool))
    with pytest.raises(RunError, match=f"the strategy margin chose {words}") as caught:
        list(simulate(dataset, replace(CONFIG, subsample=subsample)))
    assert "expected 5 different unlabelled rows" in str(caught.value)


def test_a_row_outside_the_subsample_is_not_among_what_may_be_chosen(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def select(self: Margin, pool: Pool, budget: int, *, rng: np.random.Generator) -> object:
        return np.setdiff1d(dataset.pool, pool.unlabeled)[:budget]

    monkeypatch.setattr(Margin, "select", select)
    with pytest.raises(RunError, match="not among the 60 unlabelled rows"):
        list(simulate(dataset, replace(CONFIG, subsample=60)))


@pytest.mark.parametrize("kind", [np.int32, np.uint64, list])
def test_whole_numbers_of_any_kind_are_rows(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, kind: type
) -> None:
    expected = [c.asked for c in simulate(dataset, CONFIG)]
    select = Margin.select

    def other(self: Margin, pool: Pool, budget: int, *, rng: np.random.Generator) -> object:
        rows = select(self, pool, budget, rng=rng)
        return rows.tolist() if kind is list else rows.astype(kind)

    monkeypatch.setattr(Margin, "select", other)
    for closed, asked in zip(simulate(dataset, CONFIG), expected, strict=True):
        assert closed.asked.dtype == np.int64
        np.testing.assert_array_equal(closed.asked, asked)
