import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.cache import EmbeddingCache
from clipcache.cache.layout import State
from clipcache.errors import CacheDamagedError, CacheError, CacheIdentityError, SourceError
from clipcache.import_features import ImportOptions, import_features
from clipcache.vectors.source import VectorOptions, open_vectors
from clipcache.vectors.unit import unit_rows
from tests.made_elsewhere import (
    DIM,
    NAMES,
    arrays,
    clip_retrieval,
    clouds,
    lines,
    npy,
    npz,
    text_vectors,
)
from tests.pictures import tree

SMALL = ImportOptions(chunk_rows=16)


def bring(
    features: Path, cache: Path, options: ImportOptions = SMALL, **given: Any
) -> EmbeddingCache:
    import_features(open_vectors(features, VectorOptions(**given)), cache, options)
    return EmbeddingCache.open(cache)


def expected(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    exact = vectors.astype(np.longdouble)
    return (exact / np.sqrt((exact**2).sum(axis=1, keepdims=True))).astype(np.float16)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_rows_are_the_same_directions_of_length_1(tmp_path: Path, dtype: str) -> None:
    vectors, _ = clouds(50, dtype=dtype)
    cache = bring(npy(tmp_path / "v.npy", vectors), tmp_path / "cache")
    np.testing.assert_allclose(cache.embeddings(), expected(vectors), atol=1e-7, rtol=1e-3)
    digests = [hashlib.sha256(v.tobytes()).digest() for v in vectors.astype(dtype.strip(">"))]
    assert [d.tobytes() for d in cache.read("digest")] == digests
    assert (cache.read("stamp") == -1).all()
    assert list(cache.damage()) == []


@given(st.integers(-320, 307), st.integers(0, 1000))
def test_numbers_of_any_size_have_a_direction(exponent: int, seed: int) -> None:
    x = np.random.default_rng(seed).uniform(1, 9, (3, 5))
    unit = unit_rows(x * 10.0**exponent)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-12)
    if exponent > -300:  # below, float64 itself has few digits
        np.testing.assert_allclose(unit, unit_rows(x), rtol=1e-12)


def test_columns_of_fortran_are_rows_too(tmp_path: Path) -> None:
    vectors, _ = clouds(50)
    plain = bring(npy(tmp_path / "v.npy", vectors), tmp_path / "plain")
    other = bring(npy(tmp_path / "w.npy", np.asfortranarray(vectors)), tmp_path / "other")
    assert other.identity == plain.identity
    assert (other.embeddings() == plain.embeddings()).all()


def test_a_npz_gives_pool_test_names_and_text(tmp_path: Path) -> None:
    found = arrays()
    cache = bring(npz(tmp_path / "f.npz", text_x=text_vectors()), tmp_path / "cache")
    assert cache.keys().tolist()[:2] == ["pool/000000", "pool/000001"]
    assert cache.keys().tolist()[-1] == "test/000019"
    assert cache.labels().tolist() == [*found["pool_y"].tolist(), *found["test_y"].tolist()]
    assert cache.rows("pool").tolist() == list(range(60))
    assert cache.rows("test").tolist() == list(range(60, 80))
    assert cache.names() == NAMES


def test_a_class_without_text_has_nan_and_the_others_are_units(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz", text_x=text_vectors())
    cache = bring(path, tmp_path / "cache", ImportOptions(logit_scale=50, chunk_rows=16))
    text = cache.text()
    assert text is not None
    assert np.isnan(text.vectors).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_allclose(
        text.vectors[[0, 2]], expected(text_vectors()[[0, 2]]).astype(np.float32), atol=1e-3
    )
    assert (text.names, text.templates, text.logit_scale) == (NAMES, ("imported",), 50)
    assert list(cache.damage()) == []
    (tmp_path / "cache" / "text" / "vectors" / "c" / "0" / "0").unlink()
    with pytest.raises(CacheDamagedError, match="text/ is not what was written"):
        cache.text()


def test_without_text_the_names_stay_and_all_vectors_are_nan(tmp_path: Path) -> None:
    cache = bring(npz(tmp_path / "f.npz"), tmp_path / "cache")
    text = cache.text()
    assert text is not None
    assert (text.names, text.templates) == (NAMES, ())
    assert np.isnan(text.vectors).all()


def test_the_identity_knows_content_and_no_path(tmp_path: Path) -> None:
    identity = bring(npz(tmp_path / "f.npz"), tmp_path / "a").identity
    assert (identity.library, identity.model, identity.pretrained) == ("import", "unknown", "f.npz")
    assert (identity.dim, identity.dtype) == (DIM, "float32")
    assert "rows normalised" in identity.preprocessing
    assert str(tmp_path) not in str(identity)
    np.savez_compressed(tmp_path / "other name.npz", **arrays())
    assert bring(tmp_path / "other name.npz", tmp_path / "a").identity == identity
    named = bring(tmp_path / "f.npz", tmp_path / "b", ImportOptions(model="ViT-L-14"))
    assert named.identity.model == "ViT-L-14"


@pytest.mark.parametrize("change", ["a number", "a type", "an order", "the encoder"])
def test_other_vectors_are_refused(tmp_path: Path, change: str) -> None:
    vectors, _ = clouds(40)
    bring(npy(tmp_path / "v.npy", vectors), tmp_path / "cache")
    before = tree(tmp_path / "cache")
    options = SMALL
    if change == "a number":
        vectors[7, 3] += 1
    elif change == "a type":
        vectors = vectors.astype(np.float64)
    elif change == "an order":
        vectors = vectors[::-1]
    else:
        options = ImportOptions(model="RN50")
    with pytest.raises(CacheIdentityError, match=r"was made by unknown / v\.npy"):
        bring(npy(tmp_path / "v.npy", vectors), tmp_path / "cache", options)
    assert tree(tmp_path / "cache") == before


def test_bad_rows_fail_with_a_reason(tmp_path: Path) -> None:
    vectors, _ = clouds(40)
    vectors[3, 5], vectors[8], vectors[20, 0], vectors[21] = np.nan, 0, -np.inf, np.nan
    found = open_vectors(npy(tmp_path / "v.npy", vectors), VectorOptions())
    summary = import_features(found, tmp_path / "cache", SMALL)
    assert (summary.images, summary.processed, summary.failed) == (40, 40, 4)
    assert summary.failures[1] == "000008: its vector is all zeros, which points nowhere"
    cache = EmbeddingCache.open(tmp_path / "cache")
    states = cache.read("state")
    assert np.flatnonzero(states == State.FAILED).tolist() == [3, 8, 20, 21]
    assert not cache.embeddings()[[3, 8, 20, 21]].any()
    assert [r for r in cache.rows("pool") if r in (3, 8, 20, 21)] == []
    assert set(cache.read("reason").tolist()) == {
        "",
        "its vector has NaN or infinity in it",
        "its vector is all zeros, which points nowhere",
    }


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    path = npz(tmp_path / "f.npz", text_x=text_vectors())
    cache = bring(path, tmp_path / "cache")
    before = {file: file.stat().st_mtime_ns for file in cache.path.rglob("*") if file.is_file()}
    summary = import_features(open_vectors(path, VectorOptions()), cache.path, SMALL)
    assert (summary.processed, summary.unchanged) == (0, 80)
    after = {file: file.stat().st_mtime_ns for file in cache.path.rglob("*") if file.is_file()}
    assert {f.name for f in before if before[f] != after[f]} <= {".lock"}
    assert before.keys() == after.keys()


def test_labels_may_come_later_and_be_corrected(tmp_path: Path) -> None:
    vectors, labels = clouds(40)
    path, cache = npy(tmp_path / "v.npy", vectors), tmp_path / "cache"
    assert bring(path, cache).names() == ()
    words = [NAMES[label] for label in labels]
    opened = bring(path, cache, labels=lines(tmp_path / "l.txt", words))
    assert opened.names() == NAMES
    assert opened.labels().tolist() == labels.tolist()
    words[:2] = ["", "belt"]
    opened = bring(path, cache, labels=lines(tmp_path / "l.txt", words), split="random:0.3")
    assert opened.names() == (*NAMES, "belt")
    assert opened.labels().tolist() == [-1, 3, *labels[2:].tolist()]
    assert 4 < len(opened.rows("test")) < 24
    assert 0 not in opened.rows("test")
    assert list(opened.damage()) == []


def test_the_same_vectors_by_other_names_are_refused(tmp_path: Path) -> None:
    vectors, _ = clouds(5)
    path, cache = npy(tmp_path / "v.npy", vectors), tmp_path / "cache"
    keys = lines(tmp_path / "k.txt", list("abcde"))
    assert bring(path, cache, keys=keys).keys().tolist() == list("abcde")
    before = tree(cache)
    with pytest.raises(CacheError, match=r"row 0 is called 'a' in .* but '000000' in what is"):
        bring(path, cache)
    assert tree(cache) == before


def test_labels_as_numbers_count_in_the_names(tmp_path: Path) -> None:
    vectors, labels = clouds(30)
    path = npy(tmp_path / "v.npy", vectors)
    numbers = npy(tmp_path / "l.npy", labels.astype(np.uint8))
    assert bring(path, tmp_path / "a", labels=numbers).names() == ("0", "1", "2")
    names = lines(tmp_path / "names.txt", ["# mine", *NAMES, "belt"])
    opened = bring(path, tmp_path / "b", labels=numbers, names=names)
    assert opened.names() == (*NAMES, "belt")
    assert opened.labels().tolist() == labels.tolist()
    assert bring(path, tmp_path / "c", names=names).labels().tolist() == [-1] * 30


def test_a_folder_of_clip_retrieval(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "embeddings", sizes=(5,) * 11)
    vectors, labels = clouds(55, dtype="float16")
    opened = bring(folder, tmp_path / "cache", label_column="class")
    assert opened.keys().tolist() == [f"{row:05d}.jpg" for row in range(55)]  # part 10 comes last
    np.testing.assert_allclose(opened.embeddings(), expected(vectors), atol=1e-7, rtol=1e-3)
    assert opened.names() == NAMES
    assert opened.labels().tolist() == labels.tolist()
    assert opened.identity.pretrained == "embeddings"
    plain = bring(folder, tmp_path / "plain", key_column="caption")
    assert plain.names() == ()
    assert plain.keys().tolist()[7] == "what others wrote#7"


def test_names_that_repeat_are_made_unique(tmp_path: Path) -> None:
    names = ["a.jpg", "b.jpg", "a.jpg", None, "", "c.jpg"]
    folder = clip_retrieval(tmp_path / "f", sizes=(2, 4), image_path=names)
    opened = bring(folder, tmp_path / "cache")
    assert opened.keys().tolist() == ["a.jpg#0", "b.jpg", "a.jpg#2", "#3", "#4", "c.jpg"]


def test_a_column_of_integers_counts_in_the_names(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "f", sizes=(2, 2), kind=[2, 0, None, 1])
    names = lines(tmp_path / "names.txt", list(NAMES))
    opened = bring(folder, tmp_path / "cache", label_column="kind", names=names)
    assert opened.labels().tolist() == [2, 0, -1, 1]
    assert opened.names() == NAMES


def test_parts_of_several_types_are_one_type(tmp_path: Path) -> None:
    """Also where a chunk holds rows of only one of them, so that chunks do not matter."""
    folder = clip_retrieval(tmp_path / "f", sizes=(20, 20))
    vectors, _ = clouds(40)
    npy(folder / "img_emb" / "img_emb_1.npy", vectors[20:])
    small = bring(folder, tmp_path / "small", ImportOptions(chunk_rows=7))
    large = bring(folder, tmp_path / "large", ImportOptions(chunk_rows=64))
    assert small.identity == large.identity
    assert small.identity.dtype == "float32"
    assert (small.read("digest") == large.read("digest")).all()
    assert (small.embeddings() == large.embeddings()).all()


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = npy(tmp_path / "v.npy", clouds(40)[0])
    found = open_vectors(path, VectorOptions())
    npy(path, clouds(30)[0])
    with pytest.raises(SourceError, match=r"has changed while it was read; run this again"):
        import_features(found, tmp_path / "cache", SMALL)
    assert not (tmp_path / "cache").exists()
