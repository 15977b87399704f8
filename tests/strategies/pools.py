"""Pools made by hand: a head that reads the logits straight from the embedding."""

from dataclasses import replace

import numpy as np

from clipcache.arrays import Logits, Vectors
from clipcache.heads.base import LinearWeights
from clipcache.pool import Pool
from clipcache.whitening import PoolSample

NONE = np.empty(0, dtype=np.int64)


def pool_of(logits: Logits) -> Pool:
    """Return a pool with one unlabelled row per row of `logits`, which are what its head says.

    Values must be float16 numbers, since a cache stores no others.
    """
    features = np.asarray(logits, dtype=np.float16)
    c = features.shape[1]
    head = LinearWeights(np.eye(c, dtype=np.float32), np.zeros(c, dtype=np.float32))
    rows = np.arange(len(features))
    return Pool(features, head, rows, NONE, NONE, PoolSample(features, rows))


def random_pool(n: int = 400, d: int = 12, c: int = 5) -> Pool:
    """Return a read-only pool in which a quarter of the rows is labelled and an eighth has failed.

    Failed rows are NaN: whoever looks at them is found out.
    """
    rng = np.random.default_rng((n, d, c))
    x: Vectors = rng.standard_normal((n, d)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    order = rng.permutation(n)
    labeled, failed, unlabeled = np.split(order, [n // 4, n // 4 + n // 8])
    features = x.astype(np.float16)
    features[failed] = np.nan
    weight = (4 * rng.standard_normal((d, c))).astype(np.float32)
    head = LinearWeights(weight, rng.standard_normal(c).astype(np.float32))
    sample = PoolSample(features, np.sort(np.concatenate([labeled, unlabeled])))
    labels = rng.integers(0, c, len(labeled))
    pool = Pool(features, head, np.sort(unlabeled), labeled, labels, sample)
    for array in (features, pool.unlabeled, labeled, pool.labels, head.weight, head.bias):
        array.setflags(write=False)
    return pool


def with_labels(pool: Pool, rows: list[int]) -> Pool:
    """Return the same pool when some rows are known, all of them to be of class 0."""
    known = np.array(rows, dtype=np.int64)
    left = np.setdiff1d(pool.unlabeled, known)
    return replace(pool, unlabeled=left, labeled=known, labels=np.zeros_like(known))


DOZEN = np.random.default_rng(1).standard_normal((12, 5))
HARD = {
    "twelve rows": DOZEN,
    "one class": np.linspace(0, 1, 50)[:, None],
    "a row of zeros": np.vstack([DOZEN, np.zeros(5)]),
    "nothing but zeros": np.zeros((40, 3)),
    "nearly all zeros": np.eye(40, 4),
    "all the same": np.tile(np.float32([2, 1, 0]), (60, 1)),
    "many copies of one": np.vstack([DOZEN, np.tile(DOZEN[:1], (150, 1)), -DOZEN]),
    "thousands of copies": np.tile(np.float32([2, 1, 0]), (2500, 1)),
}
"""Logits of pools that are no trouble to a head, but may be to whoever divides by what varies."""
