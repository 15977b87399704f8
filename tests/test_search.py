"""The nearest images are found among all of them, as a slow loop in float64 finds them."""

from pathlib import Path

import numpy as np
import pytest

from clipcache.arrays import Features, RowIds, Vectors
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.stored import StoredEmbeddings
from clipcache.encoders.base import Encoder
from clipcache.errors import ArrayError, ImageError
from clipcache.search import (
    find,
    of_photo,
    of_words,
    row_of,
    search,
    search_cache,
    templates_of,
)
from tests.chunked import InChunks
from tests.labelled_run import drawn_cache
from tests.pictures import draw
from tests.real_encoder import tiny
from tests.synthetic import FAILED


def slow(features: Features, rows: RowIds, vector: Vectors, k: int) -> list[tuple[int, float]]:
    unit = vector.astype(float) / np.linalg.norm(vector.astype(float))
    cosines = [(-sum(features[row].astype(float) * unit), int(row)) for row in rows]
    return [(row, -cosine) for cosine, row in sorted(cosines)[:k]]


@pytest.fixture
def features(rng: np.random.Generator) -> Features:
    x = rng.standard_normal((500, 12))
    x[100:140] = x[60]  # copies tie
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("k", [1, 45, 600])
def test_as_a_slow_loop_finds_them(features: Features, rng: np.random.Generator, k: int) -> None:
    rows = np.flatnonzero(rng.random(500) < 0.8)
    vector = features[60].astype(np.float32) * 7  # its length makes no difference
    expected = slow(features, rows, vector, k)
    for where in (features, InChunks(features, 64)):
        found, cosines = search(where, rows, vector, k)
        assert found.tolist() == [row for row, _ in expected]
        np.testing.assert_allclose(cosines, [c for _, c in expected], atol=2e-3)
        np.testing.assert_allclose(cosines, np.clip([c for _, c in expected], -1, 1), atol=1e-6)


def test_a_cosine_is_never_more_than_one() -> None:
    """Float16 rows are a little longer or shorter than 1."""
    x = np.array([[1.001, 0], [0, 1]], dtype=np.float16)
    found, cosines = search(x, np.arange(2), np.array([1, 0], dtype=np.float32), 2)
    assert (found.tolist(), cosines.tolist()) == ([0, 1], [1, 0])


@pytest.mark.parametrize("vector", [np.zeros(12), np.full(12, np.nan), np.ones(11)])
def test_a_vector_that_points_nowhere_is_refused(features: Features, vector: Vectors) -> None:
    with pytest.raises(ArrayError, match="a vector of 12 finite numbers"):
        search(features, np.arange(500), vector, 3)


def test_the_cache_says_what_was_found(finished_cache: EmbeddingCache) -> None:
    vector = finished_cache.embeddings()[20].astype(np.float32)
    first, second = search_cache(finished_cache, [vector], 2)
    labels, names = finished_cache.labels(), finished_cache.names()
    assert (first.row, first.key, first.split) == (20, "000020.jpg", "test")
    assert first.cosine == pytest.approx(1, abs=1e-3)
    assert first.label == names[labels[20]]
    assert second.cosine < first.cosine


def test_images_of_both_splits_are_found_and_failed_ones_never(
    finished_cache: EmbeddingCache,
) -> None:
    found = search_cache(finished_cache, [np.eye(16, dtype=np.float32)[0]], 1000)
    assert len(found) == finished_cache.n - len(FAILED)
    assert {one.split for one in found} == {"pool", "test"}
    assert any(one.label is None for one in found)
    assert not {one.row for one in found} & set(FAILED)
    assert len({one.row for one in found}) == len(found)


def test_examples_are_not_among_what_is_found(finished_cache: EmbeddingCache) -> None:
    found = search_cache(finished_cache, [], 5, like=[3, 4])
    assert not {one.row for one in found} & {3, 4}
    x = StoredEmbeddings(finished_cache, finished_cache.n)
    others = np.setdiff1d(np.arange(600), [3, 4, *FAILED])
    mean = x[np.array([3, 4])].astype(np.float32).mean(axis=0)
    assert [one.row for one in found] == search(x, others, mean, 5)[0].tolist()


@pytest.mark.parametrize("row", [FAILED[0], 600, -1, 10**20])
def test_an_example_without_an_embedding_is_refused(
    finished_cache: EmbeddingCache, row: int
) -> None:
    with pytest.raises(ArrayError, match=f"row {row} of .* has no embedding"):
        search_cache(finished_cache, [], 5, like=[row])


def test_nothing_to_search_for_is_refused(finished_cache: EmbeddingCache) -> None:
    with pytest.raises(ArrayError, match="nothing to search for"):
        search_cache(finished_cache, [], 5)


def test_rows_are_found_by_their_keys(finished_cache: EmbeddingCache) -> None:
    assert row_of(finished_cache, "000123.jpg") == 123
    with pytest.raises(ArrayError, match=r"no image with the key 'x\.jpg'"):
        row_of(finished_cache, "x.jpg")


def test_words_are_put_into_the_templates_of_the_cache(finished_cache: EmbeddingCache) -> None:
    assert templates_of(finished_cache) == ("a photo of a {}.",)
    found = of_words(tiny(), "red dress", ["a {}.", "the {}."])
    parts = tiny().encode_text(["a red dress.", "the red dress."])
    mean = parts.mean(axis=0)
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)


def test_a_photo_is_encoded_as_those_of_the_cache(tmp_path: Path) -> None:
    encoder: Encoder = tiny()
    draw(5).save(tmp_path / "a.png")
    expected = encoder.encode_images(encoder.preprocess(draw(5))[None])[0]
    np.testing.assert_allclose(of_photo(encoder, tmp_path / "a.png"), expected, atol=1e-6)


def test_a_photo_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"a\.png: not an image"):
        of_photo(tiny(), tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"b\.png: file not found"):
        of_photo(tiny(), tmp_path / "b.png")


def test_words_photos_and_rows_are_averaged(tmp_path: Path) -> None:
    cache = drawn_cache(tmp_path)
    draw(5).save(tmp_path / "a.png")
    found = find(cache, "coat", photos=[tmp_path / "a.png"], like=[2], top=4, device="cpu")
    words = of_words(tiny(), "coat", templates_of(cache))
    photo = of_photo(tiny(), tmp_path / "a.png")
    assert found == search_cache(cache, [photo, words], 4, like=[2])
    x = cache.embeddings().astype(np.float32)
    mean = np.stack([words, photo, x[2]]).mean(axis=0)
    best = np.argsort(-(x @ mean), kind="stable")
    assert [one.row for one in found] == [row for row in best.tolist() if row != 2][:4]
