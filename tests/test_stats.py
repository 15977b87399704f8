import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipcache.stats import mean_interval


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
