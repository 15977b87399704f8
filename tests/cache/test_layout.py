"""The format on disk, looked at through plain zarr and plain hashlib, not our own door."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from clipcache.cache import CacheWriter, EmbeddingCache
from clipcache.cache.layout import PARTS
from tests.toy_cache import CHUNK_ROWS, DIM, IDENTITY, TEXT, make_columns, write

N = 21
EXPECTED = {
    "images/key": ("string", (N,), (8,)),
    "images/label": ("int32", (N,), (8,)),
    "images/split": ("int8", (N,), (8,)),
    "images/embedding": ("float16", (N, DIM), (8, DIM)),
    "images/digest": ("uint8", (N, 32), (8, 32)),
    "images/stamp": ("int64", (N, 2), (8, 2)),
    "images/state": ("int8", (N,), (8,)),
    "images/reason": ("string", (N,), (8,)),
    "manifest/listing": ("uint8", (3, 40), (1, 40)),
    "manifest/result": ("uint8", (3, 40), (1, 40)),
    "text/vectors": ("float32", (2, DIM), (2, DIM)),
}
FILLS = {"images/label": -1}
CODECS = {"string": ["vlen-utf8", "crc32c"]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "cache", N)
    return tmp_path / "cache"


def hand_seal(columns: list[np.ndarray]) -> bytes:
    """The seal as the layout's docstring tells it."""
    sha = hashlib.sha256()
    for column in columns:
        if column.dtype.kind in "iuf":
            sha.update(column.astype(column.dtype.newbyteorder("<")).tobytes())
        else:
            sha.update(b"".join(str(text).encode() + b"\0" for text in column))
    return len(columns[0]).to_bytes(8, "little") + sha.digest()


def test_arrays_are_where_and_what_the_format_says(path: Path) -> None:
    found = {
        str(file.parent.relative_to(path)): json.loads(file.read_text())
        for file in path.rglob("zarr.json")
    }
    groups = {name for name, meta in found.items() if meta["node_type"] == "group"}
    assert groups == {".", "images", "manifest", "text"}
    assert found.keys() - groups == EXPECTED.keys()
    for name, (dtype, shape, chunks) in EXPECTED.items():
        meta = found[name]
        assert meta["zarr_format"] == 3
        assert meta["data_type"] == dtype, name
        assert tuple(meta["shape"]) == shape, name
        assert tuple(meta["chunk_grid"]["configuration"]["chunk_shape"]) == chunks, name
        codecs = [codec["name"] for codec in meta["codecs"]]
        assert codecs == CODECS.get(dtype, ["bytes", "crc32c"]), name
        assert meta["fill_value"] == FILLS.get(name, "" if dtype == "string" else 0), name


def test_attributes_are_what_the_format_says(path: Path) -> None:
    attrs = dict(zarr.open_group(path, mode="r").attrs)
    assert attrs == {
        "format": 1,
        "identity": IDENTITY.to_dict(),
        "chunk_rows": CHUNK_ROWS,
        "splits": ["pool", "test"],
    }
    text = dict(zarr.open_group(path, mode="r")["text"].attrs)
    assert text.pop("sha256")
    assert text == {
        "names": ["cat", "dog"],
        "templates": ["a {}.", "the {}."],
        "logit_scale": 14.5,
    }


def test_plain_zarr_reads_what_was_written(path: Path) -> None:
    group, values = zarr.open_group(path, mode="r"), make_columns(0, N)
    for name, column in values.items():
        np.testing.assert_array_equal(group[f"images/{name}"][:], column)
    np.testing.assert_array_equal(group["text/vectors"][:], TEXT.vectors)


def test_seals_are_those_of_the_docstring(path: Path) -> None:
    group, values = zarr.open_group(path, mode="r"), make_columns(0, N)
    for part, names in PARTS.items():
        for chunk, rows in enumerate((slice(0, 8), slice(8, 16), slice(16, N))):
            columns = [values[name][rows] for name in names]
            assert group[f"manifest/{part}"][chunk].tobytes() == hand_seal(columns), (part, chunk)


def test_what_plain_zarr_wrote_is_read(path: Path) -> None:
    group, values = zarr.open_group(path, mode="r+"), make_columns(0, N, seed=7)
    for part, names in PARTS.items():
        for name in names:
            group[f"images/{name}"][:] = values[name]
        for chunk, rows in enumerate((slice(0, 8), slice(8, 16), slice(16, N))):
            entry = hand_seal([values[name][rows] for name in names])
            group[f"manifest/{part}"][chunk] = np.frombuffer(entry, dtype=np.uint8)
    cache = EmbeddingCache.open(path)
    assert cache.n == N
    assert cache.identity == IDENTITY
    np.testing.assert_array_equal(cache.embeddings(), values["embedding"])
    assert cache.embeddings().dtype == np.float16
    assert cache.keys().tolist() == values["key"].tolist()
    np.testing.assert_array_equal(cache.labels(), values["label"])
    done = values["state"] == 1
    for code, split in enumerate(("pool", "test")):
        expected = np.flatnonzero(done & (values["split"] == code))
        np.testing.assert_array_equal(cache.rows(split), expected)
        assert cache.rows(split).dtype == np.int64
    assert list(cache.damage()) == []
    text = cache.text()
    assert text is not None
    assert (text.names, text.templates, text.logit_scale) == (TEXT.names, TEXT.templates, 14.5)
    np.testing.assert_array_equal(text.vectors, TEXT.vectors)


def test_a_cache_without_labels_has_no_text(tmp_path: Path) -> None:
    with CacheWriter.open(tmp_path / "c", IDENTITY, chunk_rows=8) as writer:
        assert writer.cache.n == 0
    cache = EmbeddingCache.open(tmp_path / "c")
    assert cache.text() is None
    assert cache.names() == ()
    assert cache.embeddings().shape == (0, DIM)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 17])
def test_every_way_to_end_a_chunk(tmp_path: Path, n: int) -> None:
    values = write(tmp_path / "c", n)
    cache = EmbeddingCache.open(tmp_path / "c")
    assert cache.chunks == -(-n // 8)
    np.testing.assert_array_equal(cache.embeddings(), values["embedding"])
    assert list(cache.damage()) == []
