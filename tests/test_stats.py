from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipcache.errors import ArrayError
from clipcache.stats import (
    Interval,
    bootstrap_interval,
    holm,
    mean_interval,
    paired_test,
    verdict,
)

ACCURACY = st.integers(0, 1000).map(lambda x: x / 1000)
SEEDS = st.lists(ACCURACY, min_size=2, max_size=12)
PAIRS = st.lists(st.tuples(ACCURACY, ACCURACY), min_size=1, max_size=7)
SMALL = st.lists(st.integers(-3, 8), min_size=1, max_size=9)
"""Whole test images, so few that different flips often add up to the same."""
P_VALUES = st.lists(st.floats(0, 1), max_size=7)


def test_known_value() -> None:
    # scipy.stats.ttest_1samp([1, 2, 3, 4], 0).confidence_interval() = (0.4457, 4.5543)
    assert mean_interval([1, 2, 3, 4]) == pytest.approx((2.5, 0.4457, 4.5543), abs=1e-4)


def test_covers_the_true_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(2000):
        _, low, high = mean_interval(rng.normal(3.0, 2.0, size=5).tolist())
        covered += low <= 3.0 <= high
    assert 0.935 <= covered / 2000 <= 0.965


@given(arrays(np.float64, st.integers(2, 20), elements=st.floats(-1e3, 1e3)), st.floats(-50, 50))
def test_moves_with_the_values(values: np.ndarray, shift: float) -> None:
    before, after = mean_interval(values.tolist()), mean_interval((values + shift).tolist())
    assert np.subtract(after, before) == pytest.approx([shift] * 3, abs=1e-6)


def test_one_value_has_no_interval() -> None:
    mean, low, high = mean_interval([4.0])
    assert mean == 4.0
    assert np.isnan(low)
    assert np.isnan(high)


@given(SEEDS)
def test_bootstrap_holds_the_mean_and_forgets_the_order(values: list[float]) -> None:
    found = bootstrap_interval(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert min(values) - 1e-12 <= found.low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= found.high <= max(values) + 1e-12
    assert bootstrap_interval(values[::-1]) == found


@given(SEEDS, st.integers(-50, 50), st.integers(1, 20))
def test_bootstrap_moves_and_grows_with_the_values(
    values: list[float], shift: int, scale: int
) -> None:
    before = bootstrap_interval(values)
    after = bootstrap_interval([scale * value + shift for value in values])
    assert after == pytest.approx([scale * x + shift for x in before], abs=1e-9)


def test_bootstrap_is_as_lopsided_as_the_values() -> None:
    mean, low, high = bootstrap_interval([0, 0, 0, 0, 0, 0, 0, 1, 2, 9])
    assert high - mean > 1.5 * (mean - low)
    wide, narrow = (bootstrap_interval(range(9), confidence=c) for c in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("n", "least", "most"), [(5, 0.89, 0.95), (10, 0.92, 0.97)])
def test_bootstrap_covers_nearly_as_often_as_it_says(n: int, least: float, most: float) -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(400, n)).tolist()
    covered = np.mean([x.low <= 3 <= x.high for x in map(bootstrap_interval, values)])
    assert least <= covered <= most  # 0.928 and 0.946 of 4,000 elsewhere


def test_one_value_has_no_bootstrap_interval() -> None:
    assert bootstrap_interval([4.0]) == pytest.approx((4.0, np.nan, np.nan), nan_ok=True)


@given(PAIRS)
def test_p_is_the_share_of_sign_flips_at_least_as_far_from_zero(
    pairs: list[tuple[float, float]],
) -> None:
    whole = [round(1000 * a) - round(1000 * b) for a, b in pairs]
    sums = [
        sum(s * d for s, d in zip(signs, whole, strict=True))
        for signs in product((1, -1), repeat=len(whole))
    ]
    share = np.mean([abs(x) >= abs(sum(whole)) for x in sums])
    assert paired_test([a for a, _ in pairs], [b for _, b in pairs]) == pytest.approx(share)


@given(SMALL, st.sampled_from([200, 3, 7, 1000]), st.floats(0, 1))
@example([-1, 2, 7, 2, 7, -1, 5, 2], 200, 0.0)
@example([1, 1, 3, 6, 3, -2, 3, 1], 200, 0.0)
@example([0, 1, 2, 3], 200, 0.7)
def test_flips_that_tie_with_the_observed_count(
    whole: list[int], images: int, level: float
) -> None:
    sums = [
        sum(s * Fraction(d, images) for s, d in zip(signs, whole, strict=True))
        for signs in product((1, -1), repeat=len(whole))
    ]
    share = np.mean([abs(x) >= abs(sums[0]) for x in sums])
    a, b = [level + d / images for d in whole], [level] * len(whole)
    assert paired_test(a, b) == share


@given(st.lists(st.integers(-3, 8), min_size=14, max_size=20), st.sampled_from([200, 3, 7]))
def test_ties_count_among_random_flips_too(whole: list[int], images: int) -> None:
    # Whole numbers add up without rounding: the same flips of fractions must count the same.
    zeros = [0.0] * len(whole)
    assert paired_test([d / images for d in whole], zeros) == paired_test(whole, zeros)


def test_differences_that_are_rounding_are_none() -> None:
    assert paired_test([0.1 + 0.2] * 8, [0.3] * 8) == 1


@given(st.lists(st.tuples(ACCURACY, ACCURACY), min_size=1, max_size=20))
def test_p_forgets_which_side_and_which_order(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [x for _, x in pairs]
    p = paired_test(a, b)
    assert 0 < p <= 1
    assert paired_test(b, a) == p
    assert paired_test(a[::-1], b[::-1]) == p
    assert paired_test(a, a) == 1


@pytest.mark.parametrize("n", [1, 2, 5, 6, 13, 14, 40])
def test_p_is_never_zero(n: int) -> None:
    p = paired_test([0.9] * n, [0.1] * n)
    assert p == pytest.approx(2 / 2**n if n <= 13 else 1 / 10_000, abs=3e-4 if n == 14 else 1e-9)


def test_random_flips_agree_with_all_of_them() -> None:
    # 14 pairs are flipped at random; all 16,384 flips by hand.
    d = np.round(np.random.default_rng(3).normal(0.9, 1.0, size=14), 3)
    signs = np.array(list(product((1, -1), repeat=14)))
    exact = np.mean(np.abs(signs @ d) >= abs(d.sum()) - 1e-9)
    assert 0.01 < exact < 0.2
    assert paired_test(d.tolist(), [0.0] * 14) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(("n", "runs"), [(6, 1000), (9, 500), (14, 100)])
def test_false_alarms_are_as_rare_as_promised(n: int, runs: int) -> None:
    # The seed's own luck, shared by both sides, may be as large as it likes.
    rng = np.random.default_rng(n)
    luck = rng.normal(0, 10, size=(runs, n))
    a, b = luck + rng.exponential(size=(runs, n)), luck + rng.exponential(size=(runs, n))
    p = np.array([paired_test(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)])
    alarms = np.mean(p <= 0.05)
    assert alarms <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert alarms >= 0.01  # and it is not silent either


@given(P_VALUES)
def test_holm_rejects_what_the_step_down_procedure_does(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.3):
        rejected: set[int] = set()
        for i in sorted(range(len(p_values)), key=lambda i: p_values[i]):
            if p_values[i] * (len(p_values) - len(rejected)) > level:
                break
            rejected.add(i)
        assert {i for i, p in enumerate(adjusted) if p <= level} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_verdict_claims_only_what_interval_and_test_both_show() -> None:
    up, down, unsure = Interval(2, 1, 3), Interval(-2, -3, -1), Interval(2, -1, 5)
    for p in (None, 0.0, 0.05):
        assert verdict("A", "B", up, "points", p).startswith("A beat B: +2.0 points")
        assert verdict("A", "B", down, "points", p).startswith("A did worse than B: -2.0 points")
        assert "no difference could be shown" in verdict("A", "B", unsure, "points", p)
    for p in (0.051, 1.0, np.nan):
        for gain in (up, down, unsure):
            assert verdict("A", "B", gain, "points", p).startswith(
                "A against B: no difference could be shown, "
            )


def test_verdict_ends_at_zero_claim_nothing() -> None:
    assert "no difference" in verdict("A", "B", Interval(1, 0, 2))
    assert "no difference" in verdict("A", "B", Interval(-1, -2, 0))
    assert "no difference" in verdict("A", "B", Interval(0, 0, 0))


def test_verdict_word_by_word() -> None:
    gain = Interval(-1.26, -2.0, -0.5)
    assert (
        verdict("Entropy", "margin", gain, "points of top-1", 0.0078)
        == "Entropy did worse than margin: -1.3 points of top-1 "
        "(95 % interval -2.0 to -0.5, adjusted p 0.0078)."
    )
    nan = float("nan")
    assert (
        verdict("Entropy", "margin", Interval(3.0, nan, nan), "points", 1.0)
        == "Entropy against margin: +3.0 points; one seed shows no more than that."
    )


@pytest.mark.parametrize("values", [[], [0.1, np.nan], [np.inf], [[0.1, 0.2]]])
def test_values_that_are_no_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(ArrayError, match="one finite value a seed, found"):
        bootstrap_interval(values)
    with pytest.raises(ArrayError, match="one finite value a seed, found"):
        paired_test(values, [0.5] * len(values))


def test_pairs_that_do_not_match_are_refused() -> None:
    with pytest.raises(ArrayError, match="as many values on both sides, found 2 and 3"):
        paired_test([0.1, 0.2], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("p_values", [[0.1, np.nan], [-0.1], [1.1]])
def test_what_is_no_p_value_is_refused(p_values: list[float]) -> None:
    with pytest.raises(ArrayError, match=r"p-values lie in \[0, 1\], found"):
        holm(p_values)
