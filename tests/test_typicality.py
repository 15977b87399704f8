import numpy as np
import numpy.typing as npt
import pytest

from clipcache import typicality as module
from clipcache.arrays import RowIds, Vectors
from clipcache.typicality import most_typical, typical, typicality

NONE = np.empty(0, dtype=np.int64)


def typicality_twin(x: Vectors) -> npt.NDArray[np.float64]:
    """Return 1 / mean distance to the 20 nearest others, row by row in float64."""
    out = []
    for i, row in enumerate(x.astype(np.float64)):
        others = np.delete(x.astype(np.float64), i, axis=0)
        near = np.sort(np.sqrt(((others - row) ** 2).sum(axis=1)))[:20]
        out.append(1 / near.mean())
    return np.array(out)


def clouds(sizes: list[int], d: int = 8, seed: int = 0) -> tuple[Vectors, RowIds]:
    """Return tight clouds far apart, in random order, and which cloud each row is in."""
    rng = np.random.default_rng(seed)
    cloud = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    middle = 10 * np.eye(len(sizes), d)
    x = middle[cloud] + 0.1 * rng.standard_normal((len(cloud), d))
    return x.astype(np.float32), cloud


def choose(x: Vectors, budget: int, known: RowIds = NONE, seed: int = 0) -> list[int]:
    places = typical(x, budget, known=known, rng=np.random.default_rng(seed))
    return checked(places, budget, known)


def choose_in(x: Vectors, cluster: RowIds, budget: int, known: RowIds = NONE) -> list[int]:
    places = most_typical(x, cluster, budget, known=known, rng=np.random.default_rng(0))
    return checked(places, budget, known)


def checked(places: RowIds, budget: int, known: RowIds) -> list[int]:
    assert places.dtype == np.int64
    assert len(places) == len(set(places.tolist()) - set(known.tolist())) == budget
    return places.tolist()


@pytest.mark.parametrize("n", [2, 3, 20, 21, 22, 70])
def test_typicality_is_that_of_its_twin(n: int) -> None:
    x = np.random.default_rng(n).standard_normal((n, 6)).astype(np.float32)
    np.testing.assert_allclose(typicality(x), typicality_twin(x), rtol=1e-5)


def test_identical_rows_and_single_ones_are_infinitely_typical() -> None:
    assert np.isinf(typicality(np.zeros((30, 3), dtype=np.float32))).all()
    assert np.isinf(typicality(np.ones((1, 3), dtype=np.float32))).all()
    assert typicality(np.ones((0, 3), dtype=np.float32)).shape == (0,)


def test_clouds_are_found_and_the_largest_comes_first() -> None:
    x, cloud = clouds([30, 60])
    places = choose(x, 2)
    assert cloud[places].tolist() == [1, 0]
    for place in places:
        members = np.flatnonzero(cloud == cloud[place])
        assert place == members[typicality_twin(x[members]).argmax()]


def test_clouds_with_a_label_wait_until_all_have_one() -> None:
    x, cloud = clouds([30, 60, 40, 50])
    known = np.array([np.flatnonzero(cloud == c)[0] for c in (1, 3)])
    assert cloud[choose_in(x, cloud, 5, known)].tolist() == [2, 0, 1, 3, 2]


def test_then_the_fewest_labels_count_and_those_of_the_batch_too() -> None:
    x, cloud = clouds([30, 60, 40, 50])
    known = np.flatnonzero(cloud == 1)[:2]
    assert cloud[choose_in(x, cloud, 8, known)].tolist() == [3, 2, 0, 3, 2, 0, 1, 3]


def test_labelled_rows_are_nobodys_neighbours() -> None:
    line = np.arange(30)
    dense = np.full(30, 100)  # each of these is typical of the others
    x = np.concatenate([line, dense])[:, None].astype(np.float32)
    cluster = np.zeros(60, dtype=np.int64)
    assert choose_in(x, cluster, 1)[0] >= 30
    assert choose_in(x, cluster, 1, known=np.arange(31, 60))[0] < 30  # one of them is left


def test_small_clouds_come_after_everything_else() -> None:
    x, cloud = clouds([5, 6, 20])
    order = cloud[choose_in(x, cloud, 31)].tolist()
    assert order[:3] == [2, 1, 2]
    assert order[-5:] == [0] * 5


def test_a_large_cluster_is_chosen_from_a_sample_and_used_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MEMBERS", 50)
    x, cloud = clouds([40, 300])
    assert cloud[choose_in(x, cloud, 4)].tolist() == [1, 0, 1, 0]
    assert sorted(choose_in(x, cloud, 340)) == list(range(340))


def test_clusters_without_rows_are_passed_over() -> None:
    x, cloud = clouds([10, 20])
    assert cloud[choose_in(x, 3 * cloud + 2, 2)].tolist() == [1, 0]


def test_centroids_from_a_sample_find_the_same_clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EACH", 100)
    monkeypatch.setattr(module, "BLOCK", 7)
    x, cloud = clouds([250, 350])
    assert cloud[choose(x, 2)].tolist() == [1, 0]


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_identical_rows_are_used_up_once_each(fill: float) -> None:
    x = np.full((10_000, 4), fill, dtype=np.float32)
    choose(x, 120, known=np.arange(40))
    choose(x[:12], 12)


def test_seeds_decide() -> None:
    x = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    assert choose(x, 10, seed=1) == choose(x, 10, seed=1) != choose(x, 10, seed=2)
