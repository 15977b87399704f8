"""First what is typical, then what is doubtful."""

from dataclasses import replace

import numpy as np
import pytest

from clipcache.strategies.base import Strategy
from clipcache.strategies.default import Default
from clipcache.strategies.diverse_margin import DiverseMargin
from clipcache.strategies.typiclust import TypiClust
from tests.strategies.pools import random_pool


@pytest.mark.parametrize(
    ("labels", "expected"), [(0, TypiClust()), (14, TypiClust()), (15, DiverseMargin())]
)
def test_three_labels_a_class_are_no_longer_few(labels: int, expected: Strategy) -> None:
    pool = random_pool(c=5)
    pool = replace(pool, labeled=pool.labeled[:labels], labels=pool.labels[:labels])
    rows, same = (
        strategy.select(pool, 12, rng=np.random.default_rng(1))
        for strategy in (Default(), expected)
    )
    np.testing.assert_array_equal(rows, same)
