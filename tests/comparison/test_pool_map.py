"""The map of the pool: places of classes, and images between them."""

from dataclasses import replace

import numpy as np
import pytest

from clipcache.arrays import Vectors
from clipcache.comparison.pool_map import SHOWN, draw_map
from clipcache.dataset import Dataset
from clipcache.whitening import unit


def clouds(counts: dict[int, int], d: int = 12, spread: float = 0.25, seed: int = 0) -> Dataset:
    """Return a pool of clouds around random directions, one a class; nothing is held out."""
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((max(counts, default=0) + 1, d))
    labels = np.concatenate([np.full(n, label) for label, n in counts.items()]).astype(np.int64)
    x = unit(middles[labels] + spread * rng.standard_normal((len(labels), d)))
    rows = np.arange(len(labels))
    names = tuple(f"class {i}" for i in range(len(middles)))
    return Dataset(x.astype(np.float16), labels, rows, rows[:0], names, None, "")


def middle(places: Vectors, labels: np.ndarray, label: int) -> np.ndarray:
    middle: np.ndarray = places[labels == label].mean(axis=0)
    return middle


def test_images_lie_with_their_class_and_doubtful_ones_between() -> None:
    data = clouds({0: 60, 1: 60, 2: 60, 3: 60, 4: 60})
    x = data.features[:].astype(np.float32)
    halfway = unit(x[:60].mean(axis=0, keepdims=True) + x[60:120].mean(axis=0, keepdims=True))
    features = np.concatenate([x, halfway]).astype(np.float16)
    data = replace(data, features=features, labels=np.append(data.labels, -1))
    drawn = draw_map(data, {"typical": np.arange(60), "doubtful": np.array([300])})
    middles = np.array([middle(drawn.pool, drawn.labels, label) for label in range(5)])
    near = np.linalg.norm(drawn.pool[:, None] - middles[None], axis=2).argmin(axis=1)
    assert (near == drawn.labels).mean() > 0.95
    away = np.linalg.norm(drawn.picks["doubtful"][0] - middles, axis=1)
    apart = np.linalg.norm(middles[0] - middles[1])
    assert away[:2] == pytest.approx([apart / 2] * 2, rel=0.35)
    typical = np.linalg.norm(drawn.picks["typical"] - middles[0], axis=1)
    assert np.median(typical) < apart / 4


def test_classes_that_are_alike_are_neighbours() -> None:
    data = clouds({0: 50, 1: 50, 2: 50, 3: 50})
    x = data.features[:].astype(np.float32)
    x[50:100] = unit(x[50:100] + 1.5 * x[:50])  # class 1 leans towards class 0
    drawn = draw_map(replace(data, features=x.astype(np.float16)), {})
    at = [middle(drawn.pool, drawn.labels, label) for label in range(4)]
    apart = {(a, b): np.linalg.norm(at[a] - at[b]) for a in range(4) for b in range(a)}
    assert min(apart, key=lambda pair: apart[pair]) == (1, 0)


def test_a_pick_lies_where_the_same_image_of_the_pool_does() -> None:
    data = clouds({0: 30, 1: 40, 2: 5})
    drawn = draw_map(data, {"some": np.array([70, 3, 41])})
    np.testing.assert_allclose(drawn.picks["some"], drawn.pool[[70, 3, 41]], atol=1e-5)
    again = draw_map(data, {"some": np.array([70, 3, 41])})
    assert (again.pool == drawn.pool).all()


@pytest.mark.parametrize("counts", [{0: 20}, {0: 20, 1: 20}, {0: 1}, {3: 1, 5: 2}])
@pytest.mark.parametrize("d", [1, 2, 12])
def test_few_classes_and_dimensions_have_places_too(counts: dict[int, int], d: int) -> None:
    drawn = draw_map(clouds(counts, d), {"none": np.empty(0, dtype=np.int64)})
    assert drawn.pool.dtype == np.float32
    assert drawn.pool.shape == (len(drawn.labels), 2)
    assert np.isfinite(drawn.pool).all()
    assert drawn.picks["none"].shape == (0, 2)


def test_large_pools_are_thinned_and_broken_rows_left_out() -> None:
    data = clouds({0: SHOWN, 1: 500})
    x = data.features[:]
    x[7] = np.nan
    drawn = draw_map(replace(data, features=x), {"some": np.array([7, 8])})
    assert len(drawn.pool) == len(drawn.labels) == SHOWN
    assert drawn.picks["some"].shape == (1, 2)


def test_rows_without_a_label_and_held_out_ones_are_not_in_the_pool(dataset: Dataset) -> None:
    drawn = draw_map(dataset, {})
    known = dataset.pool[dataset.labels[dataset.pool] >= 0]
    assert (drawn.labels == dataset.labels[known]).all()


def test_no_two_of_many_classes_share_a_place() -> None:
    drawn = draw_map(clouds({label: 20 for label in range(15)}, d=40), {})
    at = np.array([middle(drawn.pool, drawn.labels, label) for label in range(15)])
    apart = np.linalg.norm(at[:, None] - at[None], axis=2)
    nearest = (apart + 9 * np.eye(15)).min(axis=1)
    assert nearest.min() > 0.2 * apart.max()  # in the plane of principal components: 0.05
