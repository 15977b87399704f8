"""What many tests need: a seeded generator, and one small finished cache a session.

One BLAS thread: our matrices are small, and threads that wait for each other on a busy machine made
the fits a hundred times slower. The variable only counts before NumPy is imported.
"""

import os
import signal
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from tests.synthetic import write_cache

settings.register_profile("clipcache", derandomize=True, deadline=None)
settings.load_profile("clipcache")

# A shell starts background jobs deaf to Ctrl-C, and programs that tests start inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that starts at the same place in every test."""
    return np.random.default_rng(20_240)


@pytest.fixture(scope="session")
def finished_cache(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    """600 rows in 3 chunks, 8 classes, a fifth of them test; nobody writes to it."""
    path: Path = tmp_path_factory.mktemp("cache") / "cache"
    return write_cache(path)


@pytest.fixture(scope="session")
def dataset(finished_cache: EmbeddingCache) -> Dataset:
    """The same cache in memory, read-only."""
    data = Dataset.load(finished_cache)
    for array in (data.features, data.labels, data.pool, data.test):
        array.setflags(write=False)
    return data
