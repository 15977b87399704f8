"""Parquet files of images, as Hugging Face datasets and other programs write them."""

import builtins
import json
import pickle
import random
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, Item
from clipcache.images.parquet import EMPTY, ParquetImages
from clipcache.images.parquet_file import DAMAGED
from clipcache.images.recent import Recent

HF = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def written(
    path: Path,
    images: Sequence[bytes | None],
    kind: pa.DataType = HF,
    *,
    rows: int = 3,
    meta: object = None,
    **columns: Any,
) -> Path:
    """A file with the images, so many rows a group, and more columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    in_struct = [{"bytes": data, "path": "same.jpg"} for data in images]
    column = pa.array(in_struct if pa.types.is_struct(kind) else images, kind)
    table = pa.table({"image": column, **columns})
    if meta is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(meta)})
    pq.write_table(table, path, row_group_size=rows)
    return path


def fault(source: ParquetImages) -> str:
    with pytest.raises(SourceError) as caught:
        list(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def reason(source: ParquetImages, key: str) -> str:
    with pytest.raises(ImageError) as caught:
        source.read(key)
    return str(caught.value)


IMAGES = [f"image {number}".encode() * (number + 1) for number in range(10)]


@pytest.mark.parametrize("kind", [HF, pa.binary(), pa.large_binary(), pa.struct([HF[0]])])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_rows(tmp_path: Path, kind: pa.DataType, rows: int) -> None:
    source = ParquetImages(written(tmp_path / "a.parquet", IMAGES, kind, rows=rows))
    keys = [item.key for item in source]
    assert list(source) == [Item(f"a.parquet/{number}") for number in range(10)]
    assert source.class_names() == ()
    assert [source.read(key) for key in keys] == IMAGES
    assert {source.stamp(key).size for key in keys} == {(tmp_path / "a.parquet").stat().st_size}


def test_rows_keep_their_keys_when_others_are_appended(tmp_path: Path) -> None:
    before = ParquetImages(written(tmp_path / "a.parquet", IMAGES[:4]))
    kept = {item.key: before.read(item.key) for item in before}
    stamp = before.stamp("a.parquet/0")
    written(tmp_path / "a.parquet", IMAGES, rows=7)
    after = ParquetImages(tmp_path / "a.parquet")
    assert {key: after.read(key) for key in kept} == kept
    assert {key: before.read(key) for key in kept} == kept, "an open one notices, too"
    assert after.stamp("a.parquet/0") != stamp


def test_a_folder_of_files(tmp_path: Path) -> None:
    written(tmp_path / "b" / "2.parquet", IMAGES[4:])
    written(tmp_path / "1.PARQUET", IMAGES[:4])
    source = ParquetImages(tmp_path)
    keys = [item.key for item in source]
    assert keys[:4] == [f"1.PARQUET/{number}" for number in range(4)]
    assert keys[4:] == [f"b/2.parquet/{number}" for number in range(6)]
    assert [source.read(key) for key in keys] == IMAGES
    alone = ParquetImages(tmp_path / "1.PARQUET")
    assert alone.read("1.PARQUET/2") == IMAGES[2]


def test_nulls_fail_and_nothing_else(tmp_path: Path) -> None:
    source = ParquetImages(written(tmp_path / "a.parquet", [b"0", None, b"2"]))
    assert [source.read("a.parquet/0"), source.read("a.parquet/2")] == [b"0", b"2"]
    assert reason(source, "a.parquet/1") == EMPTY
    table = pa.table({"image": pa.array([None, {"bytes": b"1", "path": None}], HF)})
    pq.write_table(table, tmp_path / "b.parquet")
    null = ParquetImages(tmp_path / "b.parquet")
    assert reason(null, "b.parquet/0") == EMPTY
    assert null.read("b.parquet/1") == b"1"


def test_text_labels_and_splits(tmp_path: Path) -> None:
    labels = pa.array(["cat", None, " dog ", ""])
    for column in (labels, labels.dictionary_encode(), labels.cast(pa.large_string())):
        parts = pa.array(["train", None, "Val", "test"])
        path = written(tmp_path / "a.parquet", IMAGES[:4], what=column, part=parts)
        source = ParquetImages(path, label_column="what", split_column="part")
        assert list(source) == [
            Item("a.parquet/0", "cat", "pool"),
            Item("a.parquet/1", None, "pool"),
            Item("a.parquet/2", "dog", "test"),
            Item("a.parquet/3", None, "test"),
        ]
        assert source.class_names() == ("cat", "dog")
        assert ParquetImages(path).class_names() == (), "labels are only read where asked"


def test_class_labels(tmp_path: Path) -> None:
    """MNIST's sort of trouble: names that are numbers, and not in their order."""
    names = ["2", "0", "1"]
    feature = {"names": names, "_type": "ClassLabel"}
    meta = {"info": {"features": {"image": {"_type": "Image"}, "y": feature}}}
    labels = pa.array([0, 1, 2, -1, None])
    path = written(tmp_path / "a.parquet", IMAGES[:5], meta=meta, y=labels, z=labels)
    source = ParquetImages(path, label_column="y", names=("not", "these"))
    assert [item.label for item in source] == ["2", "0", "1", None, None]
    other = ParquetImages(path, label_column="z", names=("a", "b", "c"))
    assert [item.label for item in other] == ["a", "b", "c", None, None]
    plain = ParquetImages(path, label_column="z")
    assert [item.label for item in plain] == ["0", "1", "2", None, None]
    assert "a.parquet/2 says class 2, but there are 2 class names" in fault(
        ParquetImages(path, label_column="z", names=("a", "b"))
    )


@pytest.mark.parametrize(
    "noted",
    [
        b"{bad",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b'{"info": null}',
        b'{"info": {"features": null}}',
        b'{"info": {"features": {"y": "ClassLabel"}}}',
        b'{"info": {"features": {"y": {"names": 3}}}}',
        b'{"info": {"features": {"y": {"names": [["a"], ["b"]]}}}}',
    ],
)
def test_notes_of_others_are_no_class_names(tmp_path: Path, noted: bytes) -> None:
    table = pa.table({"image": [b"x", b"y"], "y": [0, 1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": noted}), tmp_path / "a.parquet")
    source = ParquetImages(tmp_path / "a.parquet", label_column="y")
    assert [item.label for item in source] == ["0", "1"]


def test_class_names_that_are_no_text(tmp_path: Path) -> None:
    meta = {"info": {"features": {"y": {"names": ["\ud800"]}}}}
    path = written(tmp_path / "a.parquet", IMAGES[:1], meta=meta, y=pa.array([0]))
    assert r"a.parquet/0 says class '\ud800': expected a name" in fault(
        ParquetImages(path, label_column="y")
    )


@pytest.mark.parametrize("number", [0, 1])
def test_numbers_are_no_splits(tmp_path: Path, number: int) -> None:
    path = written(tmp_path / "a.parquet", IMAGES[:1], fold=pa.array([number]))
    said = fault(ParquetImages(path, split_column="fold"))
    assert f"a.parquet/0 has the unknown split {number}: expected train" in said


def test_folders_called_like_files(tmp_path: Path) -> None:
    """As Spark and Dask write them."""
    for part in range(2):
        written(tmp_path / "train.parquet" / f"part-{part}.parquet", [IMAGES[part]])
    for place in (tmp_path, tmp_path / "train.parquet"):
        source = ParquetImages(place)
        assert [source.read(item.key) for item in source] == IMAGES[:2]
        assert MISSING not in [source.stamp(item.key) for item in source]


def test_splits_by_folder(tmp_path: Path) -> None:
    written(tmp_path / "train" / "0.parquet", IMAGES[:1])
    written(tmp_path / "test" / "0.parquet", IMAGES[:1])
    found = {item.key: item.split for item in ParquetImages(tmp_path, split_folders=True)}
    assert found == {"test/0.parquet/0": "test", "train/0.parquet/0": "pool"}


def test_splits_by_the_names_of_files(tmp_path: Path) -> None:
    """Datasets of Hugging Face have all splits in one folder."""
    words = {"train": "pool", "test": "test", "validation": "test"}
    for word in words:
        written(tmp_path / "data" / f"{word}-00000-of-00012-0a1b.parquet", IMAGES[:1])
    written(tmp_path / "test" / "part-00001-of-00002.parquet", IMAGES[:1])
    written(tmp_path / "plain.parquet", IMAGES[:1])
    found = {item.key: item.split for item in ParquetImages(tmp_path, split_folders=True)}
    assert found == {
        **{f"data/{w}-00000-of-00012-0a1b.parquet/0": split for w, split in words.items()},
        "test/part-00001-of-00002.parquet/0": "test",
        "plain.parquet/0": "pool",
    }
    assert {item.split for item in ParquetImages(tmp_path)} == {"pool"}, "only where asked"
    alone = tmp_path / "data" / "test-00000-of-00012-0a1b.parquet"
    assert [item.split for item in ParquetImages(alone, split_folders=True)] == ["test"]
    other = written(tmp_path / "dev-00000-of-00001.parquet", IMAGES[:1])
    assert "of the unknown split 'dev': expected train" in fault(
        ParquetImages(other, split_folders=True)
    )


def test_columns_that_do_not_fit(tmp_path: Path) -> None:
    floats = pa.array([0.5])
    path = written(tmp_path / "a.parquet", [b"x"], f=floats, s=pa.array(["dev"]))
    for source, said in (
        (ParquetImages(path, "photo"), "has no column 'photo'; there are: image, f, s"),
        (ParquetImages(path, "s"), "'s' of .* is of type string: expected the bytes of images"),
        (ParquetImages(path, label_column="f"), "'f' of .* is of type double: expected text or"),
        (ParquetImages(path, label_column="image"), "'image' of .* is of type struct"),
        (ParquetImages(path, label_column="no"), "has no column 'no'"),
        (ParquetImages(path, split_column="s"), "a.parquet/0 has the unknown split 'dev'"),
    ):
        with pytest.raises(SourceError, match=said):
            list(source)
        fault(source)


def test_the_column_of_images_is_found(tmp_path: Path) -> None:
    """By what it holds, as in datasets that call it img; of several by what it is called."""
    bytes_of, path = pa.array([{"bytes": b"x", "path": "1.jpg"}], HF), tmp_path / "a.parquet"
    plain, digest = pa.array([b"y"]), pa.array([b"0123"], pa.binary(4))
    for columns, wanted in (
        ({"id": [1], "img": bytes_of, "digest": digest}, b"x"),
        ({"image": ["1.jpg"], "jpg": plain}, b"y"),
        ({"mask": plain, "image": bytes_of}, b"x"),
    ):
        pq.write_table(pa.table(columns), path)
        assert ParquetImages(path).read("a.parquet/0") == wanted
        assert list(ParquetImages(path)) == [Item("a.parquet/0")]
    assert ParquetImages(path, "mask").read("a.parquet/0") == b"y"
    for columns, said in (
        (
            {"before": plain, "after": bytes_of},
            "columns of bytes: before, after; call the one with",
        ),
        ({"path": ["1.jpg"]}, "no column with the bytes of images; there are: path"),
    ):
        pq.write_table(pa.table(columns), path)
        assert said in fault(ParquetImages(path))


def test_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"text" * 100)
    assert "a.parquet cannot be read as a Parquet file" in fault(ParquetImages(tmp_path))
    whole = written(tmp_path / "a.parquet", IMAGES).read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:-50])
    assert "cannot be read as a Parquet file" in fault(ParquetImages(tmp_path))
    assert "no .parquet file" in fault(ParquetImages(written(tmp_path / "d/x.pq", []).parent))
    assert "has no rows" in fault(ParquetImages(written(tmp_path / "e" / "e.parquet", [])))


def test_damage_costs_the_rows_it_hit(tmp_path: Path) -> None:
    images = [random.Random(seed).randbytes(2000) for seed in range(9)]
    path = written(tmp_path / "a.parquet", images, pa.binary())
    place = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[place : place + 30] = b"\xff" * 30
    path.write_bytes(data)
    source = ParquetImages(path)
    keys = [item.key for item in source]
    assert [source.read(key) for key in keys[:3] + keys[6:]] == images[:3] + images[6:]
    assert {reason(source, key) for key in keys[3:6]} == {DAMAGED}


def test_keys_that_are_not_there(tmp_path: Path) -> None:
    source = ParquetImages(written(tmp_path / "a.parquet", IMAGES))
    for key in ("a.parquet/10", "a.parquet/x", "a.parquet/-1", "a.parquet", "b.parquet/0", "0"):
        assert reason(source, key) == "file not found"
    assert source.stamp("b.parquet/0") == MISSING


def test_groups_too_large_to_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcache.images.parquet_file.LARGEST", 1 << 20)
    path = written(tmp_path / "a.parquet", [random.Random(n).randbytes(400_000) for n in range(3)])
    said = fault(ParquetImages(path))
    assert "groups of 3 rows with 1 MB of images" in said
    assert "row_group_size" in said
    assert (
        len(
            list(
                ParquetImages(
                    written(path, [random.Random(n).randbytes(400_000) for n in range(3)], rows=2)
                )
            )
        )
        == 3
    )


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 groups of 2 MB, of which 5 MB may be kept."""
    monkeypatch.setattr("clipcache.images.parquet.KEPT", 5 << 20)
    images = [random.Random(seed).randbytes(1 << 20) for seed in range(40)]
    source = ParquetImages(written(tmp_path / "a.parquet", images, rows=2))
    at_first, most = pa.total_allocated_bytes(), 0
    for number, image in enumerate(images):
        assert source.read(f"a.parquet/{number}") == image
        most = max(most, pa.total_allocated_bytes() - at_first)
    assert most < 16 << 20


def test_labels_are_streamed(tmp_path: Path) -> None:
    labels = pa.array([f"class {number % 7}" for number in range(50_000)])
    images = [b""] * 50_000
    path = written(tmp_path / "a.parquet", images, pa.binary(), rows=10_000, label=labels)
    source = ParquetImages(path, label_column="label")
    next(iter(source))  # what pyarrow itself needs
    tracemalloc.start()
    assert sum(1 for _ in source) == 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # the labels alone, as Python strings, are 2,800,000


def test_threads_and_copies(tmp_path: Path) -> None:
    wanted = {}
    for shard in range(3):
        images = [f"{shard} {number}".encode() for number in range(40)]
        written(tmp_path / f"{shard}.parquet", images, rows=8)
        wanted |= {f"{shard}.parquet/{number}": data for number, data in enumerate(images)}
    keys = list(wanted)
    random.Random(3).shuffle(keys)
    source = ParquetImages(tmp_path)
    copy = pickle.loads(pickle.dumps(source))
    assert copy == source
    for each in (source, copy):
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(each.read, keys)) == [wanted[key] for key in keys]


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ParquetImages(written(tmp_path / "a.parquet", IMAGES))
    real = builtins.__import__

    def no_pyarrow(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    assert 'pip install "clipcache[parquet]"' in fault(source)


def test_recent_makes_each_once_and_forgets_the_oldest() -> None:
    made: list[int] = []

    def get(recent: Recent[bytes], key: int) -> int:
        def make() -> bytes:
            made.append(key)
            return bytes(10)

        return len(recent.get(key, make))

    recent: Recent[bytes] = Recent(35, len)
    assert [get(recent, key) for key in (1, 2, 3, 1, 4, 1, 3, 2)] == [10] * 8
    assert made == [1, 2, 3, 4, 2], "2 was the oldest when 4 came"
    with pytest.raises(ZeroDivisionError):
        recent.get(9, lambda: bytes(1 // 0))
    assert recent.get(9, lambda: b"again") == b"again", "errors are not kept"
    small: Recent[bytes] = Recent(0, len)
    made.clear()
    assert [get(small, key) for key in (1, 2, 1, 2, 3, 2)] == [10] * 6
    assert made == [1, 2, 3], "two are kept in any case"
