"""The pools that speed is measured on are sound, the same each time, and not too easy."""

from pathlib import Path

import numpy as np
import pytest

from clipcache import scoring
from clipcache.benchmark import pools


def test_rows_are_unit_vectors_of_every_class() -> None:
    x, y = pools.in_memory(9000, 32, 7)
    assert x.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(x.astype(np.float64), axis=1), 1, atol=2e-3)
    assert set(y.tolist()) == set(range(7))
    assert len(np.unique(x, axis=0)) > 8990


def test_a_pool_on_disk_is_the_one_in_memory(tmp_path: Path) -> None:
    x, y = pools.in_memory(8500, 16, 5)
    cache = pools.on_disk(tmp_path / "pool.zarr", 8500, 16, 5)
    np.testing.assert_array_equal(cache.embeddings(), x)
    np.testing.assert_array_equal(cache.labels(), y)


def test_the_head_knows_most_but_not_all() -> None:
    x, y = pools.in_memory(4000, 512, 40)
    guesses, probs = scoring.shortlist(x, np.arange(4000), pools.head(512, 40), 2)
    assert 0.8 < (guesses[:, 0] == y).mean() < 0.9
    assert 0.8 < np.median(np.log(probs[:, 0] / probs[:, 1])) < 1.2


@pytest.mark.parametrize("number", [1, 5])
def test_heads_differ(number: int) -> None:
    assert not np.allclose(pools.head(16, 3).weight, pools.head(16, 3, number).weight)
    np.testing.assert_array_equal(
        pools.head(16, 3, number).weight, pools.head(16, 3, number).weight
    )
