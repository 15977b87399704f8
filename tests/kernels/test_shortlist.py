"""The likeliest classes: against sorting them all."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from clipcache.arrays import Logits
from clipcache.kernels.shortlist import shortlist
from tests.reference import LOGITS, Arguments, softmax

FEW = st.sampled_from([-np.inf, -300.0, -1.5, 0.0, 1e-3, 2.0, 2.5, 80.0])


def check(logits: Logits, k: int) -> None:
    classes, probs = shortlist(logits, k)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    assert (classes.dtype, probs.dtype) == (np.int64, np.float32)
    np.testing.assert_array_equal(classes, order)
    expected = np.take_along_axis(softmax(logits), order, axis=1)
    np.testing.assert_allclose(probs, expected, rtol=2.0**-22, atol=1e-45)


@pytest.mark.parametrize("make", LOGITS.values(), ids=LOGITS)
def test_head_of_the_sorted_classes(make: Callable[[], Arguments]) -> None:
    (logits,) = make()
    for k in {1, min(5, logits.shape[1]), min(40, logits.shape[1])}:
        check(logits, k)


@given(arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(1, 7)), elements=FEW))
def test_of_equal_logits_the_lower_class_comes_first(logits: Logits) -> None:
    logits[:, :1] = np.maximum(logits[:, :1], -300)  # one class has to be possible
    for k in range(1, logits.shape[1] + 1):
        check(logits, k)


def test_all_classes_together_are_certain() -> None:
    (logits,) = LOGITS["forty classes"]()
    _, probs = shortlist(logits, 40)
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
