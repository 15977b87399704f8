"""The head that the pool teaches; its arithmetic is tested in tests/test_discriminant.py."""

import numpy as np
import pytest

from clipcache.discriminant import Discriminant
from clipcache.errors import RunError
from clipcache.heads.linear import Linear
from clipcache.heads.transductive import Transductive
from clipcache.text import LabelText
from clipcache.whitening import PoolSample, unit

X = unit(np.random.default_rng(0).standard_normal((40, 8)))
Y = np.arange(6) % 3


def test_is_the_discriminant_that_a_probe_guides() -> None:
    pool = PoolSample(X, np.arange(40))
    rng = np.random.default_rng(0)
    head = Transductive(strength=2.0).fit(X[:6], Y, n_classes=3, text=None, rng=rng, pool=pool)
    probe = Linear().fit(X[:6], Y, n_classes=3, text=None, rng=rng)
    known = np.array([True, True, True])
    found = Discriminant(strength=2.0).fit(X[:6], Y, pool, probe, known)
    np.testing.assert_array_equal(head.weight, found.weight)
    np.testing.assert_array_equal(head.bias, found.bias)


@pytest.mark.parametrize("pool", [None, PoolSample(X, np.empty(0, dtype=np.int64))])
def test_no_pool_is_a_clear_error(pool: PoolSample | None) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(RunError, match="pool"):
        Transductive().fit(X[:6], Y, n_classes=3, text=None, rng=rng, pool=pool)


def test_a_class_that_only_has_a_name_can_be_predicted() -> None:
    centers = 4 * np.eye(8)[np.repeat(np.arange(3), 30)]
    pool_rows = unit(3 + centers + 0.5 * np.random.default_rng(1).standard_normal((90, 8)))
    names = LabelText(("a", "b", "c"), ("{}",), unit(np.eye(8)[:3] + 0.2), 100.0)
    pool, rng = PoolSample(pool_rows, np.arange(90)), np.random.default_rng(0)
    seen = pool_rows[[0, 1, 30, 31]]
    head = Transductive().fit(
        seen, np.array([0, 0, 1, 1]), n_classes=3, text=names, rng=rng, pool=pool
    )
    assert (head.logits(pool_rows).argmax(axis=1) == np.repeat(np.arange(3), 30)).mean() > 0.95
    without = Transductive().fit(
        seen, np.array([0, 0, 1, 1]), n_classes=3, text=None, rng=rng, pool=pool
    )
    assert (without.logits(pool_rows).argmax(axis=1) < 2).all()
