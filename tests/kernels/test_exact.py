"""Logits in float64: the order of the additions is part of the promise."""

from collections.abc import Callable

import numpy as np
import pytest

from clipcache.kernels.exact import exact
from tests.reference import EXACT, Arguments, exact_twin


@pytest.mark.parametrize("make", EXACT.values(), ids=EXACT)
def test_same_bits_as_adding_dimension_by_dimension(make: Callable[[], Arguments]) -> None:
    np.testing.assert_array_equal(exact(*make()), exact_twin(*make()))


def test_a_row_has_the_same_logits_wherever_it_stands() -> None:
    x, weight, bias = EXACT["forty classes"]()
    logits = exact(x, weight, bias)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_array_equal(exact(x[order], weight, bias), logits[order])
    np.testing.assert_array_equal(exact(x[7:8], weight, bias), logits[7:8])


def test_a_bias_of_minus_infinity_rules_a_class_out() -> None:
    x, weight, bias = EXACT["forty classes"]()
    bias[3] = -np.inf
    logits = exact(x, weight, bias)
    assert (logits[:, 3] == -np.inf).all()
    assert np.isfinite(np.delete(logits, 3, axis=1)).all()
