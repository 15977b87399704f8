"""K-means and distances."""

import numpy as np
import pytest

from clipcache.arrays import Vectors
from clipcache.errors import ArrayError
from clipcache.neighbors import Cells, Clusters, kmeans, squared_distances


def clouds(sizes: list[int], d: int = 6) -> tuple[Vectors, list[slice]]:
    """Return rows in clouds far from each other, and where each cloud is."""
    rng = np.random.default_rng(0)
    parts = [20 * np.eye(d)[i] + rng.standard_normal((n, d)) for i, n in enumerate(sizes)]
    edges = np.cumsum([0, *sizes])
    where = [slice(a, b) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
    return np.vstack(parts).astype(np.float32), where


def found(x: Vectors, k: int, seed: int = 0, restarts: int = 5) -> Clusters:
    return kmeans(x, k, rng=np.random.default_rng(seed), restarts=restarts)


def test_each_cloud_becomes_a_cluster_with_its_mean() -> None:
    x, where = clouds([30, 60, 15])
    clusters = found(x, 3)
    for cloud in where:
        (own,) = set(clusters.cluster[cloud].tolist())
        np.testing.assert_allclose(clusters.centroids[own], x[cloud].mean(axis=0), atol=1e-4)


def test_every_row_is_with_its_nearest_centroid_at_that_distance() -> None:
    x = np.random.default_rng(1).standard_normal((400, 5)).astype(np.float32)
    clusters = found(x, 12)
    squared = ((x[:, None] - clusters.centroids) ** 2).sum(axis=2)
    np.testing.assert_array_equal(clusters.cluster, squared.argmin(axis=1))
    np.testing.assert_allclose(clusters.distance, squared.min(axis=1), rtol=1e-3, atol=1e-4)


def test_a_seed_decides() -> None:
    x = np.random.default_rng(2).standard_normal((500, 4)).astype(np.float32)
    np.testing.assert_array_equal(found(x, 9).centroids, found(x, 9).centroids)
    assert (found(x, 9, restarts=1).centroids != found(x, 9, 1, restarts=1).centroids).any()


def test_identical_rows_give_finite_centroids() -> None:
    clusters = found(np.ones((1000, 3), dtype=np.float32), 10)
    assert np.isfinite(clusters.centroids).all()
    np.testing.assert_allclose(clusters.distance, 0, atol=1e-6)


@pytest.mark.parametrize("k", [0, 6])
def test_more_clusters_than_rows_or_none_are_an_error(k: int) -> None:
    with pytest.raises(ArrayError, match=f"{k} clusters .* 5 rows"):
        found(np.ones((5, 2), dtype=np.float32), k)


def test_distances_are_those_between_each_and_each() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((4, 5))
    expected = ((x[:, None] - y) ** 2).sum(axis=2)
    found = squared_distances(x.astype(np.float32), y.astype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def cells_of(x: Vectors, c: int, probes: int) -> tuple[Cells, Clusters]:
    """Return an index with all rows in it, put there in two parts, and the clusters behind it."""
    clusters = found(x, c)
    cells, rows = Cells(clusters.centroids, x, probes=probes), 100 + np.arange(len(x))
    for part in (slice(70), slice(70, None)):
        cells.add(rows[part], x[part], clusters.cluster[part])
    return cells, clusters


def test_cells_find_the_nearest_rows_by_the_names_that_they_were_given() -> None:
    x, _ = clouds([80, 60, 40])
    cells, _ = cells_of(x, 9, probes=9)
    squared = ((x[:, None] - x) ** 2).sum(axis=2)
    for row in range(0, 180, 10):
        found = cells.nearest(x[row], 20) - 100
        exact = np.sort(squared[row])
        assert found[0] == row
        np.testing.assert_allclose(squared[row, found], exact[:20], atol=0.5)  # a byte a number


def test_only_near_cells_are_read() -> None:
    x, _ = clouds([80, 60, 40])
    cells, clusters = cells_of(x, 3, probes=1)
    mine = np.flatnonzero(clusters.cluster == clusters.cluster[0])
    np.testing.assert_array_equal(np.sort(cells.nearest(x[0], 180)) - 100, mine)
