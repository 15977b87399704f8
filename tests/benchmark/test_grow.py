"""Grown rows have the moments of real ones, come from nowhere else, and are the same each time."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from bench.grow_pool import main
from clipcache.benchmark.grow import OWN, GrownRows, grow
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.errors import SourceError
from clipcache.import_features import ImportOptions, import_features
from clipcache.text import LabelText
from clipcache.vectors.base import VectorSet
from clipcache.vectors.source import VectorOptions, open_vectors
from tests import made_elsewhere

NAMES = ("ant", "bee", "cat", "dog")
DIM = 36
UNLABELLED = slice(32, 36)


def home(label: int, split: str) -> slice:
    """The dimensions that only rows of this class and split lie in."""
    first = 8 * label + (4 if split == "test" else 0)
    return slice(first, first + 4)


def rows_at_home(sizes: list[int], split: str) -> tuple[made_elsewhere.Array, made_elsewhere.Array]:
    """So many rows of each class, and three that nobody labelled."""
    rng = np.random.default_rng(len(split))
    y = np.repeat([*range(len(sizes)), -1], [*sizes, 3])
    x = np.zeros((len(y), DIM), dtype=np.float32)
    for row, label in enumerate(y):
        place = UNLABELLED if label < 0 else home(label, split)
        x[row, place] = rng.standard_normal(4) + 1
    return x, y


def features(pool: list[int], test: list[int]) -> dict[str, made_elsewhere.Array]:
    """What a .npz file of these rows holds; the cat has no text."""
    arrays = {"class_names": np.array(NAMES), "text_x": np.eye(4, DIM, dtype=np.float32)}
    arrays["text_x"][2] = np.nan
    for split, sizes in (("pool", pool), ("test", test)):
        arrays[f"{split}_x"], arrays[f"{split}_y"] = rows_at_home(sizes, split)
    return arrays


def source(pool: list[int], test: list[int]) -> Dataset:
    """The same as if it had been loaded from a cache."""
    arrays = features(pool, test)
    x = np.concatenate([arrays["pool_x"], arrays["test_x"]])
    return Dataset(
        features=(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16),
        labels=np.concatenate([arrays["pool_y"], arrays["test_y"]]),
        pool=np.arange(len(arrays["pool_y"])),
        test=np.arange(len(arrays["pool_y"]), len(x)),
        names=NAMES,
        text=LabelText(NAMES, ("a {}.",), arrays["text_x"], 20.0),
        fingerprint="",
    )


class Grown(NamedTuple):
    """Everything of a grown pool."""

    x: npt.NDArray[np.float32]
    names: npt.NDArray[np.str_]
    pool: npt.NDArray[np.bool_]

    def sizes(self, split: str) -> dict[str, int]:
        """How many rows of each class there are."""
        return Counter(self.names[self.pool == (split == "pool")].tolist())


def read(found: VectorSet) -> Grown:
    items = list(found.rows)
    return Grown(
        found.read(slice(0, found.n)),
        np.array([item.label for item in items]),
        np.array([item.split == "pool" for item in items]),
    )


def grown(counts: list[int], seed: int = 0) -> Grown:
    real = source([9, 9, 9, 9], [5, 5, 5, 5])
    rng = np.random.default_rng(seed)
    return read(grow(real, np.array(counts), 60, name="grown", rng=rng))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def real_rows() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Three skewed classes, of which one has two rows, in no order."""
    rng = np.random.default_rng(3)
    y = rng.permutation(np.repeat([0, 1, 2], [30, 2, 9]))
    x = rng.exponential(size=(len(y), 5)) * (1 + y[:, None]) + y[:, None]
    return x.astype(np.float32), y


def test_a_grown_class_has_the_mean_and_the_covariance_of_the_real_one() -> None:
    x, y = real_rows()
    made = GrownRows.draw(x, y, np.array([40_000, 20_000, 30_000]), rng=np.random.default_rng(0))
    rows = made[: made.shape[0]].astype(np.float64)
    for c in range(3):
        real, found = x[y == c].astype(np.float64), rows[made.labels == c]
        spread = np.cov(real.T)
        scale = np.trace(spread)
        np.testing.assert_allclose(found.mean(axis=0), real.mean(axis=0), atol=0.01 * scale)
        np.testing.assert_allclose(np.cov(found.T), spread, atol=0.02 * scale)


def test_a_row_is_what_the_formula_says_in_any_slice() -> None:
    x, y = real_rows()
    made = GrownRows.draw(x, y, np.array([400, 100, 200]), rng=np.random.default_rng(0))
    rows = made[0:700]
    in_order = np.concatenate([x[y == c] for c in range(3)]).astype(np.float64)
    classes = np.sort(y)
    for row in range(0, 700, 50):
        one, two, three = made.parents[row]
        label, angle = made.labels[row], float(made.angles[row])
        assert {classes[one], classes[two], classes[three]} == {label}
        assert one not in (two, three)
        mean, size = in_order[classes == label].mean(axis=0), (classes == label).sum()
        other = np.cos(angle) * (in_order[two] - mean) + np.sin(angle) * (in_order[three] - mean)
        mix = OWN * (in_order[one] - mean) + np.sqrt(1 - OWN**2) * other
        expected = mean + np.sqrt(size / (size - 1)) * mix
        np.testing.assert_allclose(rows[row], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(made[190:560], rows[190:560])
    np.testing.assert_array_equal(made[650:], rows[650:])


def test_every_class_has_its_size() -> None:
    data = grown([300, 90, 40, 7])
    assert sorted(data.sizes("pool").values()) == [7, 40, 90, 300]
    assert sum(data.sizes("test").values()) == 60
    assert min(data.sizes("test").values()) == 15
    assert len(data.x) == 437 + 60


@pytest.mark.parametrize("split", ["pool", "test"])
def test_rows_grow_from_their_own_class_and_split_alone(split: str) -> None:
    data = grown([300, 90, 40, 7])
    for label, name in enumerate(NAMES):
        x = data.x[(data.pool == (split == "pool")) & (data.names == name)]
        assert len(x)
        assert not np.delete(x, np.r_[home(label, split)], axis=1).any()


def test_no_row_is_a_copy() -> None:
    data, real = grown([300, 90, 40, 7]), source([9, 9, 9, 9], [5, 5, 5, 5])
    x = data.x / np.linalg.norm(data.x, axis=1, keepdims=True)
    both = np.concatenate([x.astype(np.float16), real.features])
    assert len(np.unique(both, axis=0)) == len(both)


def test_large_and_small_classes_stand_in_no_order() -> None:
    first, second = np.split(grown([600, 300, 100, 100]).names[:1100], 2)
    for name in NAMES:
        assert (first == name).mean() == pytest.approx((second == name).mean(), abs=0.1)


def test_the_seed_decides_which_class_is_large() -> None:
    sizes = [grown([50, 9, 9, 9], seed).sizes("pool") for seed in range(20)]
    assert {max(NAMES, key=lambda name: found[name]) for found in sizes} == set(NAMES)


def test_the_classes_with_most_images_grow_and_keep_their_text() -> None:
    real = source([9, 3, 8, 9], [5, 9, 5, 5])
    rng = np.random.default_rng(0)
    found = grow(real, np.array([30, 20, 10]), 20, name="grown", rng=rng)
    assert found.rows.class_names() == ("ant", "cat", "dog")
    assert set(read(found).names) == {"ant", "cat", "dog"}
    assert found.text is not None
    np.testing.assert_array_equal(found.text[[0, 2]], np.eye(4, DIM)[[0, 3]])
    assert np.isnan(found.text[1]).all()


@pytest.mark.parametrize(
    ("pool", "test", "message"),
    [
        ([9, 9, 9, 0], [5, 5, 5, 5], "images of 3 classes .* and 4 are asked for"),
        ([9, 9, 1, 9], [5, 5, 5, 5], "1 images of 'cat' in its pool split"),
        ([9, 9, 9, 9], [5, 0, 5, 5], "0 images of 'bee' in its test split"),
    ],
)
def test_a_source_that_cannot_grow_is_refused(
    pool: list[int], test: list[int], message: str
) -> None:
    counts, rng = np.array([9, 9, 9, 9]), np.random.default_rng(0)
    with pytest.raises(SourceError, match=message):
        grow(source(pool, test), counts, 60, name="grown", rng=rng)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code in (0, 1), result.exception
    return result.output


FEW = ("--rows", "300", "--classes", "4", "--test-rows", "40", "--histogram", "tail")


@pytest.fixture
def real(tmp_path: Path) -> Path:
    path = tmp_path / "real.npz"
    np.savez(path, **features([9, 9, 9, 9], [5, 5, 5, 5]))
    return path


def test_a_seed_gives_the_same_bytes_and_another_one_others(real: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(real, real.parent / name, *FEW, "--seed", str(seed))
    a, b, c = (contents(real.parent / name) for name in "abc")
    assert a == b
    assert a.keys() == c.keys()
    assert a["images/embedding/c/0/0"] != c["images/embedding/c/0/0"]
    assert a["images/label/c/0"] != c["images/label/c/0"]


def test_the_command_writes_a_cache_and_measures_it(real: Path) -> None:
    said = run(real, real.parent / "a", *FEW, "--measure")
    assert "linear, 5 a class" in said
    assert "zero-shot, grown test rows" in said
    cache = EmbeddingCache.open(real.parent / "a")
    assert cache.identity.pretrained == "real.npz grown to 300 + 40 rows, seed 0"
    assert cache.identity.pretrained in said
    data = Dataset.load(cache)
    assert (len(data.pool), len(data.test)) == (300, 40)
    lengths = np.linalg.norm(data.features[data.pool].astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_a_cache_grows_as_the_file_that_it_came_from(real: Path) -> None:
    cache = real.parent / "real.zarr"
    options = ImportOptions(model="some encoder", logit_scale=7.0)
    import_features(open_vectors(real, VectorOptions()), cache, options)
    run(real, real.parent / "a", *FEW)
    run(cache, real.parent / "b", *FEW)
    a, b = (EmbeddingCache.open(real.parent / name) for name in "ab")
    np.testing.assert_array_equal(a.embeddings(), b.embeddings())
    text = b.text()
    assert text is not None
    assert (b.identity.model, text.logit_scale) == ("some encoder", 7.0)


def test_the_command_takes_sizes_from_a_file(real: Path) -> None:
    sizes = real.parent / "sizes.txt"
    sizes.write_text("50\n7\n30\n")
    options = ("--histogram", str(sizes), "--test-rows", "12")
    said = run(real, real.parent / "a", *options, "--rows", "90")
    assert "has 87 rows, but --rows is 90" in said
    assert not (real.parent / "a").exists()
    run(real, real.parent / "a", *options)
    data = Dataset.load(EmbeddingCache.open(real.parent / "a"))
    assert sorted(np.bincount(data.labels[data.pool]).tolist()) == [7, 30, 50]
