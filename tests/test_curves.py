from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clipcache.curves import (
    Curve,
    area,
    label_ratio,
    labels_to_reach,
    mean_curve,
    on_common_labels,
)
from clipcache.errors import ArrayError

TARGETS = st.integers(0, 100).map(lambda x: x / 100)


@st.composite
def curves(draw: st.DrawFn, points: int | None = None) -> Curve:
    counts = draw(st.sets(st.integers(0, 60), min_size=points or 1, max_size=points or 8))
    heights = st.lists(st.integers(0, 100), min_size=len(counts), max_size=len(counts))
    return Curve(np.array(sorted(counts)), np.array(draw(heights)) / 100)


def walk(curve: Curve, steps: int = 1) -> list[tuple[Fraction, Fraction]]:
    """Every point of the curve at so many steps a label, in exact arithmetic: the slow twin."""
    x, y = curve.labels.tolist(), [Fraction(value) for value in curve.accuracy.tolist()]
    points = [(Fraction(x[0]), y[0])]
    for i in range(1, len(x)):
        for step in range(1, (x[i] - x[i - 1]) * steps + 1):
            along = Fraction(step, steps)
            rise = (y[i] - y[i - 1]) * along / (x[i] - x[i - 1])
            points.append((x[i - 1] + along, y[i - 1] + rise))
    return points


@given(curves())
def test_area_is_the_mean_height_label_by_label(curve: Curve) -> None:
    points = walk(curve)
    between = [(a[1] + b[1]) / 2 for a, b in pairwise(points)]
    mean = sum(between) / len(between) if between else points[0][1]
    assert area(*curve) == pytest.approx(float(mean), abs=1e-12)
    assert curve.accuracy.min() - 1e-12 <= area(*curve) <= curve.accuracy.max() + 1e-12
    assert 0 <= area(*curve) <= 1


def test_area_counts_rounds_by_the_labels_they_cost() -> None:
    assert area([100, 200, 500], [0.2, 0.4, 0.4]) == pytest.approx(0.375)
    assert area([100, 400, 500], [0.2, 0.4, 0.4]) == pytest.approx(0.325)
    assert area([7], [0.25]) == 0.25


@given(curves(), TARGETS)
def test_reaching_is_where_a_walk_along_the_curve_first_finds_it(
    curve: Curve, target: float
) -> None:
    found = labels_to_reach(*curve, target)
    there = [x for x, height in walk(curve, steps=4) if height >= Fraction(target)]
    if not there:
        assert found == np.inf  # the top of a curve is always one of its points
    else:
        early = Fraction(1, 4) + Fraction(1, 10**9)  # a step of the walk, and rounding
        assert there[0] - early <= found <= there[0] + Fraction(1, 10**9)
        assert np.interp(found, *curve) == pytest.approx(max(target, curve.accuracy[0]), abs=1e-9)


@given(curves(), TARGETS, TARGETS)
def test_more_accuracy_never_takes_fewer_labels(curve: Curve, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert labels_to_reach(*curve, low) <= labels_to_reach(*curve, high)


@pytest.mark.parametrize(
    ("target", "labels"),
    [(0.0, 10), (0.3, 10), (0.35, 15), (0.4, 20), (0.5, 50), (0.6, 60), (0.61, np.inf)],
)
def test_reaching_on_a_curve_that_falls_in_between(target: float, labels: float) -> None:
    found = labels_to_reach([10, 20, 40, 60], [0.3, 0.4, 0.4, 0.6], target)
    assert found == pytest.approx(labels)
    falls = labels_to_reach([10, 20, 40, 60], [0.3, 0.4, 0.2, 0.6], target)
    assert falls == pytest.approx({0.5: 55}.get(target, labels))


@given(curves())
def test_a_curve_needs_as_many_labels_as_itself(curve: Curve) -> None:
    assert label_ratio(curve, curve) == 1


@given(curves(), st.integers(2, 5))
def test_the_same_curve_with_fewer_labels_a_round(curve: Curve, times: int) -> None:
    slow = Curve(curve.labels * times, curve.accuracy)
    if labels_to_reach(*curve, curve.accuracy[-1]) == 0:
        assert label_ratio(slow, curve) == 1  # both are there before the first label
    else:
        assert label_ratio(slow, curve) == pytest.approx(times)
        assert label_ratio(curve, slow) == pytest.approx(1 / times)


def test_ratios_by_hand() -> None:
    rising = Curve(np.array([100, 200, 400]), np.array([0.2, 0.5, 0.6]))
    plateau = Curve(np.array([100, 200, 400]), np.array([0.2, 0.6, 0.6]))
    quick = Curve(np.array([50, 150]), np.array([0.5, 0.7]))
    assert label_ratio(rising, quick) == pytest.approx(4)
    assert label_ratio(plateau, quick) == pytest.approx(2)  # its last 200 labels gave nothing
    assert label_ratio(quick, rising) == 0
    falling = Curve(np.array([100, 200, 400]), np.array([0.2, 0.8, 0.5]))
    assert label_ratio(falling, quick) == pytest.approx(3)  # its end counts, not its height of 0.8
    assert label_ratio(rising, Curve(np.array([80]), np.array([0.9]))) == 5
    assert label_ratio(rising, Curve(np.array([0]), np.array([0.9]))) == np.inf


def test_the_mean_is_taken_point_by_point() -> None:
    labels = np.array([10, 20])
    mean = mean_curve([Curve(labels, np.array([0.1, 0.5])), Curve(labels, np.array([0.3, 0.6]))])
    np.testing.assert_array_equal(mean.labels, labels)
    np.testing.assert_allclose(mean.accuracy, [0.2, 0.55])


@given(st.lists(curves(points=4), min_size=1, max_size=4))
def test_the_area_of_the_mean_is_the_mean_of_the_areas(several: list[Curve]) -> None:
    same = [Curve(several[0].labels, curve.accuracy) for curve in several]
    areas = [area(*curve) for curve in same]
    assert area(*mean_curve(same)) == pytest.approx(np.mean(areas), abs=1e-12)


@given(st.lists(curves(), min_size=1, max_size=4))
def test_on_common_labels_every_curve_stays_what_it_was(several: list[Curve]) -> None:
    assume(max(c.labels[0] for c in several) <= min(c.labels[-1] for c in several))
    common = on_common_labels(several)
    grid = common[0].labels
    for old, new in zip(several, common, strict=True):
        np.testing.assert_array_equal(new.labels, grid)
        heights = {int(x): float(height) for x, height in walk(old) if x.denominator == 1}
        assert new.accuracy.tolist() == pytest.approx([heights[x] for x in grid.tolist()])
        inside = (old.labels >= grid[0]) & (old.labels <= grid[-1])
        assert set(old.labels[inside].tolist()) <= set(grid.tolist())
        assert grid[0] >= old.labels[0]
        assert grid[-1] <= old.labels[-1]
    assert mean_curve(common).labels.tolist() == grid.tolist()
    for once, twice in zip(common, on_common_labels(common), strict=True):
        np.testing.assert_array_equal(twice.accuracy, once.accuracy)


@pytest.mark.parametrize(
    ("labels", "accuracy", "message"),
    [
        ([], [], r"\(r,\), found \(0,\) and \(0,\)"),
        ([1, 2], [0.1], r"\(r,\), found \(2,\) and \(1,\)"),
        ([[1, 2]], [[0.1, 0.2]], r"\(r,\), found \(1, 2\) and \(1, 2\)"),
        ([1, 1], [0.1, 0.2], r"whole numbers that increase, found \[1, 1\]"),
        ([2, 1], [0.1, 0.2], r"whole numbers that increase, found \[2, 1\]"),
        ([-1, 1], [0.1, 0.2], r"whole numbers that increase, found \[-1, 1\]"),
        ([1.0, 2.5], [0.1, 0.2], r"whole numbers that increase, found \[1.0, 2.5\]"),
        (np.array([2, 1], dtype=np.uint8), [0.1, 0.2], r"that increase, found \[2, 1\]"),
        ([1, 2], [0.1, np.nan], r"accuracy lies in \[0, 1\], found nan to nan"),
        ([1, 2], [10, 61], r"accuracy lies in \[0, 1\], found 10.0 to 61.0"),
    ],
)
def test_what_is_no_curve_is_refused(
    labels: list[int], accuracy: list[float], message: str
) -> None:
    good = Curve(np.array([1, 2]), np.array([0.1, 0.2]))
    bad = Curve(labels, accuracy)  # type: ignore[arg-type]
    for use in (
        lambda: area(*bad),
        lambda: labels_to_reach(*bad, 0.5),
        lambda: label_ratio(bad, good),
        lambda: label_ratio(good, bad),
        lambda: mean_curve([good, bad]),
        lambda: on_common_labels([good, bad]),
    ):
        with pytest.raises(ArrayError, match=message):
            use()


@pytest.mark.parametrize("target", [np.nan, -0.1, 61.0])
def test_a_target_that_is_no_accuracy_is_refused(target: float) -> None:
    with pytest.raises(ArrayError, match="the accuracy to reach lies in"):
        labels_to_reach([1, 2], [0.1, 0.2], target)


def test_curves_that_do_not_fit_together_are_refused() -> None:
    one = Curve(np.array([10, 20]), np.array([0.1, 0.2]))
    other = Curve(np.array([30, 40]), np.array([0.1, 0.2]))
    with pytest.raises(ArrayError, match=r"found \[10, 20\] and \[30, 40\]; use on_common_labels"):
        mean_curve([one, other])
    with pytest.raises(ArrayError, match="begins at 30 labels and one that ends at 20"):
        on_common_labels([one, other])
    for use in (mean_curve, on_common_labels):
        with pytest.raises(ArrayError, match="at least one learning curve, found none"):
            use([])
