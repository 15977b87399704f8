import numpy as np
import pytest

from clipcache.arrays import RowIds
from clipcache.errors import RunError
from clipcache.starts import choose_start, start_size
from clipcache.whitening import PoolSample, unit

ROWS = np.arange(100, 160)
LABELS = np.repeat([0, 1, 2], [5, 15, 40])
NAMES = ("hat", "coat", "shoe")


X = np.zeros((160, 8), dtype=np.float32)
X[100:] = unit(np.random.default_rng(0).standard_normal((60, 8)))


def start(spec: str, seed: int = 0) -> RowIds:
    rng = np.random.default_rng(seed)
    rows = choose_start(spec, ROWS, LABELS, NAMES, PoolSample(X, ROWS), rng=rng)
    assert len(rows) == start_size(spec, LABELS, NAMES)
    return rows


@pytest.mark.parametrize("each", [1, 3, 5])
def test_stratified_takes_so_many_of_each_class(each: int) -> None:
    rows = start(f"stratified:{each}")
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == 3 * each
    assert np.bincount(LABELS[rows - 100]).tolist() == [each] * 3


@pytest.mark.parametrize("count", [1, 17, 60])
def test_random_takes_so_many_of_all(count: int) -> None:
    rows = start(f"random:{count}")
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == count
    assert set(rows.tolist()) <= set(ROWS.tolist())


def test_no_label_is_looked_at() -> None:
    sample = PoolSample(X, ROWS)
    for spec in ("random:20", "kmeans:20", "typiclust:20"):
        rng = np.random.default_rng(0)
        unknown = choose_start(spec, ROWS, np.full(60, -1), NAMES, sample, rng=rng)
        np.testing.assert_array_equal(unknown, start(spec))


@pytest.mark.parametrize("spec", ["stratified:2", "random:9", "kmeans:9"])
def test_seeds_decide(spec: str) -> None:
    np.testing.assert_array_equal(start(spec, 1), start(spec, 1))
    assert set(start(spec, 1).tolist()) != set(start(spec, 2).tolist())


@pytest.mark.parametrize("spec", ["stratified:1", "random:6"])
def test_every_row_is_as_likely_within_its_class(spec: str) -> None:
    counts = np.zeros(60)
    for seed in range(2000):
        counts[start(spec, seed) - 100] += 1
    share = 1 / np.repeat([5, 15, 40], [5, 15, 40]) if spec == "stratified:1" else np.full(60, 0.1)
    # 60 binomial counts: 5 sigma by chance is 1 in 30,000.
    assert (np.abs(counts - 2000 * share) < 5 * np.sqrt(2000 * share * (1 - share))).all()


def test_a_class_too_small_is_named_with_both_numbers() -> None:
    with pytest.raises(RunError, match="needs 6 images of each class, but the pool has 5 of 'hat'"):
        start("stratified:6")


def test_a_class_that_the_pool_has_nothing_of_is_passed_over() -> None:
    """As "cta", a slip of the pen that was put right: a cache keeps the names it has ever had."""
    labels, names = np.where(LABELS == 1, 3, LABELS), ("hat", "cta", "shoe", "coat", "glove")
    rng = np.random.default_rng(0)
    rows = choose_start("stratified:4", ROWS, labels, names, PoolSample(X, ROWS), rng=rng)
    assert start_size("stratified:4", labels, names) == len(set(rows.tolist())) == 12
    assert np.bincount(labels[rows - 100]).tolist() == [4, 0, 4, 4]
    with pytest.raises(RunError, match="needs 6 images of each class, but the pool has 5 of 'hat'"):
        start_size("stratified:6", labels, names)


def test_a_pool_without_a_known_class_has_none_of_any() -> None:
    for labels in (np.full(60, -1), LABELS[:0]):
        with pytest.raises(RunError, match="stratified:1 needs known labels, but the pool has non"):
            start_size("stratified:1", labels, NAMES)


def test_a_pool_too_small_is_named() -> None:
    with pytest.raises(RunError, match=r"random:61 .*\(60\)"):
        start("random:61")


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "most",
        "random:",
        "random:0",
        "random:-3",
        "random:x",
        "random:²",
        "random:3:4",
        "stratified",
        "stratified:0",
        "stratified:1.5",
        "most:3",
        "Random:3",
    ],
)
def test_a_spec_that_is_not_understood_is_refused(spec: str) -> None:
    with pytest.raises(RunError, match="is not understood; give kmeans:40, random:40 or"):
        start(spec)


@pytest.mark.parametrize("kind", ["kmeans", "random", "typiclust"])
def test_without_a_number_it_is_one_for_each_class_name(kind: str) -> None:
    np.testing.assert_array_equal(start(kind), start(f"{kind}:3"))


@pytest.mark.parametrize("kind", ["kmeans", "typiclust"])
@pytest.mark.parametrize("count", [1, 3, 17, 60])
def test_so_many_different_ones_are_taken(kind: str, count: int) -> None:
    rows = start(f"{kind}:{count}")
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == count
    assert set(rows.tolist()) <= set(ROWS.tolist())


def test_kmeans_takes_the_middle_of_each_cloud_the_largest_first() -> None:
    rng = np.random.default_rng(1)
    clouds = np.repeat([0, 1, 2], [10, 15, 35])
    x = unit(4 + 3 * np.eye(8)[clouds] + 0.3 * rng.standard_normal((60, 8)))
    everything, labels = np.arange(60), np.full(60, -1)
    sample = PoolSample(x, everything)
    rows = choose_start("kmeans:3", everything, labels, NAMES, sample, rng=rng)
    assert clouds[rows].tolist() == [2, 1, 0]
    for row in rows.tolist():
        cloud = sample.whitened[clouds == clouds[row]]
        distance = np.linalg.norm(cloud - cloud.mean(axis=0), axis=1)
        assert np.linalg.norm(sample.whitened[row] - cloud.mean(axis=0)) <= distance.min() + 1e-5


@pytest.mark.parametrize("kind", ["kmeans", "typiclust"])
def test_copies_of_one_image_are_asked_for_last(kind: str) -> None:
    x = np.vstack([X[100:105], X[100].reshape(1, -1).repeat(95, axis=0)])
    everything, labels = np.arange(100), np.full(100, -1)
    sample = PoolSample(x, everything)
    rng = np.random.default_rng(0)
    rows = choose_start(f"{kind}:8", everything, labels, NAMES, sample, rng=rng)
    assert set(rows[:5].tolist()) == set(range(5))
    assert len(set(rows.tolist())) == 8
