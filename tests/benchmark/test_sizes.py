"""Sizes add up, fall as said, and a class never goes without."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.benchmark import sizes
from clipcache.errors import SourceError


@given(
    st.lists(st.integers(1, 10_000), min_size=1, max_size=30),
    st.integers(0, 20),
    st.integers(0, 5000),
)
def test_shares_add_up_and_follow_the_weights(weights: list[int], floor: int, spare: int) -> None:
    total = floor * len(weights) + spare
    counts = sizes.apportion(weights, total, floor)
    assert counts.sum() == total
    assert counts.min() >= floor
    w = np.array(weights)
    above = counts > floor + 1
    if above.sum() > 1:
        each = counts[above] / w[above]  # within a row of one common rate
        assert (np.abs(counts[above] - w[above] * np.median(each)) <= 1 + w[above] / w.min()).all()


def test_the_published_sizes_come_out() -> None:
    found = sizes.class_sizes("report", 246_841, 40)
    assert found.sum() == 246_841
    assert found[0] == pytest.approx(25_000, abs=5)
    assert found[-1] == pytest.approx(1_700, abs=5)
    assert (np.diff(found) <= 0).all()


@pytest.mark.parametrize(("rows", "classes"), [(1000, 10), (5_000_000, 200), (200, 2), (9, 1)])
@pytest.mark.parametrize("histogram", ["report", "tail"])
def test_other_pools_have_all_their_rows_too(histogram: str, rows: int, classes: int) -> None:
    found = sizes.class_sizes(histogram, rows, classes)
    assert len(found) == classes
    assert found.sum() == rows
    assert found.min() >= 2
    assert (np.diff(found) <= 0).all()


def test_the_rarest_quarter_is_rarer() -> None:
    tail, report = (sizes.class_sizes(name, 246_841, 40) for name in ("tail", "report"))
    assert (tail[30], tail[-1]) == (500, 50)
    assert tail.sum() == 246_841
    np.testing.assert_allclose(tail[:30] / tail[0], report[:30] / report[0], atol=1e-4)


def test_held_out_rows_follow_the_pool_where_there_are_enough() -> None:
    pool = sizes.class_sizes("tail", 246_841, 40)
    test = sizes.held_out_sizes(pool, 20_000)
    assert test.sum() == 20_000
    assert (test[30:] == sizes.TEST_FLOOR).all()
    np.testing.assert_allclose(test[:30] / test[0], pool[:30] / pool[0], atol=1e-3)
    assert (sizes.held_out_sizes(pool, 400) == 10).all()


def test_a_file_says_one_size_a_line(tmp_path: Path) -> None:
    path = tmp_path / "sizes.txt"
    path.write_text("30\n4\n 5\n")
    assert sizes.read_sizes(path).tolist() == [30, 4, 5]


@pytest.mark.parametrize(
    ("text", "message"),
    [("3\n0\n", "line 2 .* '0'"), ("x\n", "line 1 .* 'x'"), ("", "empty"), ("3\n\n2\n", "line 2")],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sizes.txt"
    path.write_text(text)
    with pytest.raises(SourceError, match=message):
        sizes.read_sizes(path)


def test_too_few_rows_and_unknown_names_are_refused() -> None:
    with pytest.raises(SourceError, match="19 rows are too few for 10 classes"):
        sizes.class_sizes("report", 19, 10)
    with pytest.raises(SourceError, match="'flat' is unknown"):
        sizes.class_sizes("flat", 100, 10)
