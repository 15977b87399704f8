"""A cache remembers which labels its encoder was trained on, wherever it lies."""

from pathlib import Path

import numpy as np
import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.taught import count_taught, remember, rows_taught
from tests.buckets import make_bucket, s3_server, upload
from tests.synthetic import write_cache


def test_an_encoder_that_was_not_trained_here_knows_no_row(finished_cache: EmbeddingCache) -> None:
    found = rows_taught(finished_cache)
    assert found.dtype == np.int64
    assert not len(found)
    assert count_taught(finished_cache, finished_cache.rows("pool")) == 0


def test_rows_are_remembered_beside_the_arrays(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache")
    remember(cache.path, np.array([3, 5, 8]))
    opened = EmbeddingCache.open(cache.path)
    assert rows_taught(opened).tolist() == [3, 5, 8]
    assert count_taught(opened, np.array([8, 9, 3])) == 2
    assert not list(opened.damage())


def test_a_cache_in_a_bucket_remembers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        url = upload(write_cache(tmp_path / "cache").folder, "s3://bucket/c.zarr")
        assert not len(rows_taught(EmbeddingCache.open(url)))
        remember(url, np.array([3, 5]))
        assert rows_taught(EmbeddingCache.open(url)).tolist() == [3, 5]
