"""The exponential of the float32 kernels, number by number."""

from collections.abc import Callable

import numpy as np
import pytest

from clipcache.kernels.jit import interpreted
from tests.reference import CASES, NUMBERS, Arguments, exp_kernel, exp_twin

CLOSE = 2.0**-22


@pytest.mark.parametrize("make", NUMBERS.values(), ids=NUMBERS)
def test_within_its_bound_down_to_the_smallest(make: Callable[[], Arguments]) -> None:
    (x,) = make()
    x = x[(x > -87) & (x <= 0)]
    found = exp_kernel(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exp_twin(x), rtol=CLOSE, atol=0)


def test_one_at_zero_and_never_above_it() -> None:
    x = -np.geomspace(1e-45, 1e-3, 4001, dtype=np.float32)
    assert exp_kernel(np.float32([0, -0.0])).tolist() == [1, 1]
    assert exp_kernel(x).max() <= 1


def test_nothing_below_the_smallest() -> None:
    x = np.float32([-87.5, -88, -104, -1e4, -1e30, -3e38, -np.inf])
    found = exp_kernel(x)
    np.testing.assert_allclose(found, 0, atol=2.0**-125)
    if not interpreted():
        assert not found.any()


def test_not_a_number_stays_one() -> None:
    assert np.isnan(exp_kernel(np.float32([np.nan, 0, np.nan]))).tolist() == [True, False, True]


def test_float64_is_that_of_numpy() -> None:
    x = np.linspace(-800, 0, 4001)
    np.testing.assert_allclose(CASES["exp"].kernel(x), np.exp(x), rtol=2.0**-51, atol=5e-324)
