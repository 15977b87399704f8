import numpy as np

from clipcache.heads.base import LinearWeights
from clipcache.pool import Pool
from clipcache.strategies.bald import Bald
from clipcache.whitening import PoolSample
from tests.strategies.pools import NONE


def test_rows_that_hang_on_single_dimensions_come_before_undecided_ones() -> None:
    d = 64
    undecided = np.zeros(d)
    torn = np.zeros(d)
    torn[:2] = 10.0  # the first dimension says one class, the second the other
    sure = np.zeros(d)
    sure[2:] = 1.0  # sixty dimensions say the same
    features = np.array([undecided, sure, torn, undecided, sure], dtype=np.float16)
    weight = np.zeros((d, 2), dtype=np.float32)
    weight[0, 0], weight[1, 1] = 1.0, 1.0
    weight[2:, 0] = 1.0
    head = LinearWeights(weight, np.zeros(2, dtype=np.float32))
    pool = Pool(features, head, np.arange(5), NONE, NONE, PoolSample(features, np.arange(5)))
    for seed in range(5):
        rows = Bald(members=9).select(pool, 1, rng=np.random.default_rng(seed))
        assert rows.tolist() == [2]


def test_members_are_drawn_with_the_given_generator() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((300, 16)).astype(np.float16)
    head = LinearWeights(
        rng.standard_normal((16, 4)).astype(np.float32), np.zeros(4, dtype=np.float32)
    )
    pool = Pool(features, head, np.arange(300), NONE, NONE, PoolSample(features, np.arange(300)))
    first, again, other = (
        Bald().select(pool, 20, rng=np.random.default_rng(seed)).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other
