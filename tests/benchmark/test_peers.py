"""Everybody who is compared does the same job: the same rows come out."""

import numpy as np
import pytest

from clipcache import scoring
from clipcache.benchmark import pools
from clipcache.benchmark.peers import K, peers, products, reading
from clipcache.kernels.margin import margin


@pytest.mark.parametrize("classes", [2, 3, 12])
def test_peers_find_the_rows_that_we_find(classes: int) -> None:
    x, _ = pools.in_memory(3000, 64, classes)
    head = pools.head(64, classes)
    expected = set(scoring.top(x, np.arange(3000), head, margin, K)[0].tolist())
    names = []
    for name, query in peers(x.astype(np.float32), head):
        found = query()
        rows = found[0] if isinstance(found, tuple) else found
        assert set(np.asarray(rows).tolist()) == expected, name
        names.append(name)
    assert names[:2] == ["numpy", "torch"]


@pytest.mark.parametrize(("rows", "dim"), [(3000, 64), (101, 1), (1001, 37)])
def test_floors_run_over_everything(rows: int, dim: int) -> None:
    x, _ = pools.in_memory(rows, dim, 3)
    tasks = dict(products(x.astype(np.float32), pools.head(dim, 3)))
    assert set(tasks) == {"numpy product", "torch product"}
    for task in (*tasks.values(), reading(x)):
        task()
