"""Everybody who is compared does the same job: the same rows come out."""

import numpy as np

from clipcache import scoring
from clipcache.benchmark import pools
from clipcache.benchmark.peers import K, peers, products, reading
from clipcache.kernels.margin import margin

X, _ = pools.in_memory(3000, 64, 12)
HEAD = pools.head(64, 12)
EXPECTED = set(scoring.top(X, np.arange(3000), HEAD, margin, K)[0].tolist())


def test_peers_find_the_rows_that_we_find() -> None:
    names = []
    for name, query in peers(X.astype(np.float32), HEAD):
        found = query()
        rows = found[0] if isinstance(found, tuple) else found
        assert set(np.asarray(rows).tolist()) == EXPECTED, name
        names.append(name)
    assert names[:2] == ["numpy", "torch"]


def test_floors_run_over_everything() -> None:
    tasks = dict(products(X.astype(np.float32), HEAD))
    assert set(tasks) == {"numpy product", "torch product"}
    for task in (*tasks.values(), reading(X)):
        task()
