"""The head that the pool teaches; its arithmetic is tested in tests/test_discriminant.py."""

import numpy as np
import pytest

from clipcache.discriminant import Discriminant
from clipcache.errors import RunError
from clipcache.heads.transductive import Transductive
from clipcache.whitening import PoolSample, unit

X = unit(np.random.default_rng(0).standard_normal((40, 8)))
Y = np.arange(6) % 3


def test_is_the_discriminant_of_labels_and_pool() -> None:
    pool = PoolSample(X, np.arange(40))
    rng = np.random.default_rng(0)
    head = Transductive(strength=2.0).fit(X[:6], Y, n_classes=3, text=None, rng=rng, pool=pool)
    found = Discriminant(strength=2.0).fit(X[:6], Y, 3, pool)
    np.testing.assert_array_equal(head.weight, found.weight)
    np.testing.assert_array_equal(head.bias, found.bias)


@pytest.mark.parametrize("pool", [None, PoolSample(X, np.empty(0, dtype=np.int64))])
def test_no_pool_is_a_clear_error(pool: PoolSample | None) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(RunError, match="pool"):
        Transductive().fit(X[:6], Y, n_classes=3, text=None, rng=rng, pool=pool)
