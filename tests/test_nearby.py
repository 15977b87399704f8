"""The index of a pool: what it finds, for whom, and how long it lives."""

import gc
import weakref

import numpy as np
import pytest

from clipcache import features as rows_of
from clipcache import nearby
from clipcache.arrays import Features, RowIds
from clipcache.device import OnDevice
from clipcache.features import Rows
from clipcache.nearby import PoolIndex, index_of, principal
from tests.chunked import InChunks

ALL = np.arange(5000)


def clouds(n: int = 5000, d: int = 80, seed: int = 0) -> Features:
    """Return unit rows of which the directions count less and less, as those of images do."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) / np.sqrt(1 + np.arange(d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


def nearest_twin(x: Features, row: int, k: int) -> RowIds:
    """Return the `k` nearest rows by all distances."""
    far = ((x.astype(np.float64) - x[row].astype(np.float64)) ** 2).sum(axis=1)
    return np.argsort(far, kind="stable")[:k]


def near(x: Rows, *rows: int, k: int = 10) -> list[int]:
    return index_of(x, ALL).near(x, np.array(rows), k).tolist()


def test_most_of_the_nearest_rows_are_found() -> None:
    x = clouds()
    found = [len(np.intersect1d(near(x, row, k=50), nearest_twin(x, row, 50))) for row in range(40)]
    assert np.mean(found) > 0.8 * 50


def test_with_all_cells_and_directions_nearly_all_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nearby, "COMPONENTS", 80)
    monkeypatch.setattr(nearby, "PROBES", 99)
    x = clouds()
    found = [len(np.intersect1d(near(x, row, k=50), nearest_twin(x, row, 50))) for row in range(40)]
    assert np.mean(found) > 0.97 * 50


def test_neighbours_of_several_are_those_of_each_in_any_company() -> None:
    x, same = clouds(), clouds()
    one_by_one = [set(near(x, row)) for row in range(30)]
    assert set(near(same, *range(30))) == set.union(*one_by_one)
    assert [set(near(same, row)) for row in range(30)] == one_by_one


def test_only_rows_of_the_index_are_found() -> None:
    x = clouds()
    even = ALL[::2]
    assert not (index_of(x, even[:100], even[100:]).near(x, ALL[:20:2], 30) % 2).any()


def test_nobody_near_is_asked_for() -> None:
    x = clouds()
    assert near(x) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_chunks_and_layout_do_not_matter(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = clouds()
    expected = near(x, *range(50))
    monkeypatch.setattr("clipcache.threads._limit", threads)
    monkeypatch.setattr(nearby, "PART", 19)
    assert near(InChunks(x, 333), *range(50)) == expected
    monkeypatch.setattr(rows_of, "SEGMENT", 100)
    assert near(np.asfortranarray(x), *range(50)) == expected


@pytest.mark.parametrize("chunked", [False, True])
def test_rows_with_a_copy_on_a_device_are_read_from_the_host(chunked: bool) -> None:
    x = clouds()
    wrapped = OnDevice(InChunks(x, 333) if chunked else x, "cpu")
    assert near(wrapped, *range(50)) == near(x, *range(50))


def test_the_pool_is_read_once_and_rows_that_were_asked_never_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = InChunks(clouds(), 1000)
    first = near(x, 1, 2)
    assert sorted(x.reads) == [0, 1, 2, 3, 4]
    monkeypatch.setattr(InChunks, "__getitem__", None)
    assert near(x, 2, 1) == first
    assert len(x.reads) == 5


def test_other_rows_and_other_features_get_their_own_index() -> None:
    x, other = clouds(), clouds(seed=1)
    whole = index_of(x, ALL)
    assert index_of(x, ALL[3000:], ALL[:3000]) is whole
    assert index_of(other, ALL) is not whole
    assert near(other, 0) != near(x, 0)
    part = index_of(x, ALL[:-1])
    assert part is not whole
    assert len(part.near(x, ALL[:1], 5000)) < 5000


def test_an_index_goes_with_its_features() -> None:
    x = clouds(300)
    first = weakref.ref(index_of(x, ALL[:300]))
    second = weakref.ref(index_of(x, ALL[:200]))
    gc.collect()
    assert first() is None
    assert second() is not None
    del x
    gc.collect()
    assert second() is None


def test_a_row_takes_72_bytes_however_wide() -> None:
    index = PoolIndex(clouds(3000, 512), np.ones(3000, dtype=np.bool_))
    lists = index._cells._index.invlists
    assert lists.compute_ntotal() == 3000
    assert lists.code_size + 8 == 72


def test_principal_directions_keep_the_most() -> None:
    x = np.random.default_rng(0).standard_normal((500, 4)) * [1, 9, 3, 0.1] + [50, 0, 0, 0]
    directions = principal(x.astype(np.float32), 2)
    np.testing.assert_allclose(np.abs(directions), np.eye(4)[:, [1, 2]], atol=0.1)
    np.testing.assert_allclose(directions.T @ directions, np.eye(2), atol=1e-6)
