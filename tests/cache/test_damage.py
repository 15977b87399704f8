"""A damaged cache gives the right data or says what is wrong; never zeros, never a traceback."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache.cache import CacheWriter, EmbeddingCache
from clipcache.cache.info import describe
from clipcache.errors import (
    CacheDamagedError,
    CacheError,
    CacheFormatError,
    CacheIdentityError,
    CacheMissingError,
)
from tests.pictures import tree
from tests.toy_cache import IDENTITY, TEXT, write

N = 13


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "cache"
    write(path, N)
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(whole, tmp_path / "cache")
    return tmp_path / "cache"


FILES = sorted(
    [f"images/{name}/c/{chunk}" for name in ("key", "label", "split", "state", "reason")
     for chunk in range(2)]
    + [f"images/{name}/c/{chunk}/0" for name in ("embedding", "digest", "stamp")
       for chunk in range(2)]
    + [f"manifest/{part}/c/{chunk}/0" for part in ("listing", "result") for chunk in range(2)]
    + [f"images/{name}/zarr.json" for name in ("key", "label", "split", "state", "reason",
                                               "embedding", "digest", "stamp")]
    + [f"manifest/{part}/zarr.json" for part in ("listing", "result")]
    + ["zarr.json", "images/zarr.json", "manifest/zarr.json", "text/zarr.json",
       "text/vectors/zarr.json", "text/vectors/c/0/0"]
)  # fmt: skip


def test_the_list_of_files_is_that_of_the_cache(whole: Path) -> None:
    assert sorted(tree(whole)) == FILES


READERS: dict[str, Callable[[EmbeddingCache], Any]] = {
    "embeddings": EmbeddingCache.embeddings,
    "keys": EmbeddingCache.keys,
    "labels": EmbeddingCache.labels,
    "pool": lambda cache: cache.rows("pool"),
    "vectors": lambda cache: (lambda text: text and text.vectors)(cache.text()),
}


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return all(same(f, e) for f, e in zip(found, expected, strict=True))
    if isinstance(expected, np.ndarray):
        return isinstance(found, np.ndarray) and np.array_equal(found, expected)
    return bool(found == expected)


def check_honesty(spoilt: Path, whole: Path) -> list[str]:
    """Every way to read gives what the whole cache gives, or a CacheError; return the errors."""
    expected = answers(whole)
    errors = []
    try:
        cache = EmbeddingCache.open(spoilt)
    except CacheError as error:
        return [str(error)]
    for name, read in READERS.items():
        try:
            found = read(cache)
        except CacheError as error:
            errors.append(str(error))
        else:
            assert same(found, expected[name]), f"{name} is silently wrong"
    errors += cache.damage()
    with suppress(CacheError):
        describe(cache)
    for line in errors:
        assert "\n" not in line
    return errors


@cache
def answers(path: Path) -> dict[str, Any]:
    """What every reader says of a whole cache."""
    opened = EmbeddingCache.open(path)
    return {name: read(opened) for name, read in READERS.items()}


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_noticed(path: Path, whole: Path, file: str) -> None:
    (path / file).unlink()
    errors = check_honesty(path, whole)
    if file not in ("images/zarr.json", "manifest/zarr.json"):  # nothing is read from these
        assert errors


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_flipped_bit_is_noticed_or_harmless(whole: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES))
    bytes_ = bytearray((whole / file).read_bytes())
    bit = data.draw(st.integers(0, 8 * len(bytes_) - 1))
    bytes_[bit // 8] ^= 1 << bit % 8
    spoilt = whole.parent / "spoilt"
    shutil.copytree(whole, spoilt)
    try:
        (spoilt / file).write_bytes(bytes_)
        errors = check_honesty(spoilt, whole)
        assert errors or file.endswith("zarr.json")
    finally:
        shutil.rmtree(spoilt)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_truncated_file_is_noticed(whole: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(FILES))
    bytes_ = (whole / file).read_bytes()
    length = data.draw(st.integers(0, len(bytes_) - 1))
    spoilt = whole.parent / "spoilt"
    shutil.copytree(whole, spoilt)
    try:
        (spoilt / file).write_bytes(bytes_[:length])
        errors = check_honesty(spoilt, whole)
        assert errors or file in ("images/zarr.json", "manifest/zarr.json")
    finally:
        shutil.rmtree(spoilt)


@pytest.mark.parametrize("array", ["images/embedding", "images/label", "images/state", "text"])
def test_a_missing_folder_is_noticed(path: Path, whole: Path, array: str) -> None:
    shutil.rmtree(path / array)
    assert check_honesty(path, whole)


@pytest.mark.parametrize("column", ["embedding", "digest", "stamp", "key", "label", "split"])
def test_an_old_chunk_put_back_is_named(path: Path, tmp_path: Path, column: str) -> None:
    """Its checksum is right, only the seal knows."""
    write(tmp_path / "other", N, seed=3)
    inside = next((tmp_path / "other" / "images" / column / "c" / "1").rglob("*"), None)
    source = inside or tmp_path / "other" / "images" / column / "c" / "0"
    target = path / source.relative_to(tmp_path / "other")
    if inside is None:  # key, label and split do not depend on the seed: take another chunk's
        target = target.with_name("1")
    shutil.copy(source, target)
    (damage,) = EmbeddingCache.open(path).damage()
    part = "listing" if column in ("key", "label", "split") else "result"
    assert damage.startswith(f"{part} of chunk 1 (rows 8 to 12)")
    assert "not what was written" in damage


def test_every_damaged_chunk_is_named(path: Path) -> None:
    (path / "images/embedding/c/0/0").unlink()
    (path / "images/label/c/1").write_bytes(b"short")
    lines = list(EmbeddingCache.open(path).damage())
    assert len(lines) == 2
    assert any(line.startswith("result of chunk 0 (rows 0 to 7)") for line in lines)
    assert any(line.startswith("listing of chunk 1 (rows 8 to 12)") for line in lines)


def test_an_unfinished_cache_says_how_far_it_is(tmp_path: Path, whole: Path) -> None:
    with CacheWriter.open(tmp_path / "c", IDENTITY, chunk_rows=8) as writer:
        writer.grow(3)
    opened = EmbeddingCache.open(tmp_path / "c")
    for read in (opened.embeddings, lambda: opened.rows("pool"), opened.keys, opened.labels):
        with pytest.raises(CacheError, match=r"not finished: 0 of 3 .* `clipcache import` again"):
            read()
    assert describe(opened)["pending"] == 3


def edit_json(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def both_ways(path: Path, kind: type[CacheError], match: str) -> None:
    """The reader and the writer refuse it, and nothing is changed."""
    before = tree(path)
    with pytest.raises(kind, match=match):
        EmbeddingCache.open(path)
    with pytest.raises(kind, match=match), CacheWriter.open(path, IDENTITY, chunk_rows=8):
        pass
    assert tree(path) == before


def test_a_newer_format_is_refused(path: Path) -> None:
    edit_json(path / "zarr.json", lambda meta: meta["attributes"].update(format=2))
    both_ways(path, CacheFormatError, "has format 2, .* reads format 1")


def test_another_zarr_group_is_refused(path: Path) -> None:
    edit_json(path / "zarr.json", lambda meta: meta.update(attributes={"mine": 1}))
    both_ways(path, CacheFormatError, "not a clipcache cache")


@pytest.mark.parametrize(
    ("name", "value"),
    [("identity", {}), ("identity", "x"), ("chunk_rows", None), ("chunk_rows", 9)],
)
def test_nonsense_in_the_attributes_is_damage(path: Path, name: str, value: object) -> None:
    edit_json(path / "zarr.json", lambda meta: meta["attributes"].update({name: value}))
    with pytest.raises(CacheDamagedError):
        EmbeddingCache.open(path)


def test_an_array_is_not_a_cache(path: Path) -> None:
    shutil.copy(path / "images/label/zarr.json", path / "zarr.json")
    both_ways(path, CacheDamagedError, "zarr.json")


def test_no_cache_at_all(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CacheMissingError, match="clipcache embed"):
            EmbeddingCache.open(place)


def test_a_writer_refuses_what_is_not_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "holiday.jpg").write_text("x")
    before = tree(tmp_path)
    for name, match in (("file", "is a file"), ("folder", r"holiday\.jpg")):
        with (
            pytest.raises(CacheError, match=match),
            CacheWriter.open(tmp_path / name, IDENTITY, chunk_rows=8),
        ):
            pass
    assert tree(tmp_path) == before
    assert not (tmp_path / "folder" / ".lock").exists()


def test_another_encoder_is_refused_with_both_named(path: Path) -> None:
    other = IDENTITY.to_dict() | {"model": "toy-XL", "weights": "cd" * 32}
    before = tree(path)
    with (
        pytest.raises(CacheIdentityError) as caught,
        CacheWriter.open(path, type(IDENTITY)(**other), chunk_rows=8),
    ):
        pass
    for part in ("toy / none", "abababababab", "toy-XL", "cdcdcdcdcdcd"):
        assert part in str(caught.value)
    assert tree(path) == before


def test_the_name_of_the_weights_does_not_matter(path: Path) -> None:
    other = type(IDENTITY)(**IDENTITY.to_dict() | {"pretrained": "copy.pt"})
    with CacheWriter.open(path, other, chunk_rows=8) as writer:
        assert writer.cache.n == N


def test_a_new_seal_never_hides_a_damaged_listing(path: Path) -> None:
    """Relabelling reads the old listing first, and must not trust a chunk that is gone."""
    (path / "images/key/c/1").unlink()
    with (
        CacheWriter.open(path, IDENTITY, chunk_rows=8) as writer,
        pytest.raises(CacheDamagedError, match="listing of chunk 1"),
    ):
        writer.cache.listing()


@pytest.mark.parametrize("chunk", range(2))
def test_a_lost_seal_never_costs_embeddings(path: Path, chunk: int) -> None:
    """Recovery cuts off rows that were never listed; rows with embeddings were."""
    (path / f"manifest/listing/c/{chunk}/0").unlink()
    before = tree(path)
    with (
        pytest.raises(CacheDamagedError, match=f"seal of chunk {chunk}"),
        CacheWriter.open(path, IDENTITY, chunk_rows=8),
    ):
        pass
    assert tree(path) == before


def test_changed_names_of_classes_are_noticed(path: Path) -> None:
    edit_json(path / "text/zarr.json", lambda meta: meta["attributes"].update(names=["dog", "cat"]))
    found = "text/ is not what was written; run the same `clipcache embed` or `clipcache import`"
    with pytest.raises(CacheDamagedError, match=found):
        EmbeddingCache.open(path).text()
    assert TEXT.names == ("cat", "dog")
