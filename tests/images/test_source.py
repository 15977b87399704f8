"""The same images as a folder, a table, tars, Parquet files and web addresses, here and in S3."""

import csv
import pickle
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from clipcache.errors import SourceError
from clipcache.images.base import MISSING, Source
from clipcache.images.folder import Folder
from clipcache.images.parquet import ParquetImages
from clipcache.images.roots import place_of, root_of
from clipcache.images.source import SourceOptions, find_source, open_source
from clipcache.images.table import Table
from clipcache.images.tar import Tars
from tests.buckets import make_bucket, s3_server, upload
from tests.images.test_parquet import written
from tests.images.test_tar import packed
from tests.pictures import folder

CLASSES = {"coat": 4, "hat": 3}
LABELLED = SourceOptions(label_column="label")
WAYS: Mapping[str, tuple[str, SourceOptions]] = {
    "folder": ("photos", SourceOptions()),
    "table": ("photos.csv", SourceOptions(label_column="label", root=Path("photos"))),
    "tar": ("tars/b.tar", SourceOptions()),
    "tars": ("tars", SourceOptions()),
    "parquet": ("parquet", LABELLED),
    "addresses": ("addresses.tsv", LABELLED),
    "list": ("addresses.txt", SourceOptions()),
}


class World(NamedTuple):
    here: Path
    there: str
    """The same in a bucket."""
    images: dict[bytes, str]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def build(root: Path, address: str) -> dict[bytes, str]:
    """Put the same images there in every way, and return the label of each."""
    files = {
        f"{p.parent.name}/{p.name}": p
        for p in sorted(folder(root / "photos", CLASSES).rglob("*.png"))
    }
    data = {key: path.read_bytes() for key, path in files.items()}
    labels = {key: key.split("/")[0] for key in files}
    for name, separator, prefix in (("photos.csv", ",", ""), ("addresses.tsv", "\t", address)):
        with (root / name).open("w", newline="") as table:
            rows = csv.writer(table, delimiter=separator)
            rows.writerows([("path", "label"), *((prefix + k, v) for k, v in labels.items())])
    (root / "addresses.txt").write_text("".join(f"{address}{key}\n" for key in files))
    half = list(files)[:3]
    for shard, keys in (("a", half), ("b", [key for key in files if key not in half])):
        members = {}
        for key in keys:
            members |= {key: data[key], key.replace(".png", ".cls"): labels[key].encode()}
        packed(root / "tars" / f"{shard}.tar", members)
        images, said = [data[key] for key in keys], [labels[key] for key in keys]
        written(root / "parquet" / f"{shard}.parquet", images, label=said)
    packed(
        root / "tars" / "b.tar",
        {
            k: v
            for key in files
            for k, v in ((key, data[key]), (key.replace(".png", ".cls"), labels[key].encode()))
            if key not in half
        },
    )
    return {data[key]: label for key, label in labels.items()}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    serve = partial(Quiet, directory=str(root / "photos"))
    with (
        pytest.MonkeyPatch.context() as patch,
        s3_server(patch) as s3,
        ThreadingHTTPServer(("127.0.0.1", 0), serve) as server,
    ):
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        images = build(root, f"http://127.0.0.1:{server.server_address[1]}/")
        make_bucket(s3, "bucket")
        yield World(root, upload(root, "s3://bucket/some where/deep"), images)
        server.shutdown()


def opened(world: World, way: str, *, cloud: bool) -> Source:
    name, options = WAYS[way]
    if cloud:
        root = f"{world.there}/{options.root}" if options.root else None
        return open_source(f"{world.there}/{name}", SourceOptions(**vars(options) | {"root": root}))
    root = world.here / options.root if options.root else None
    return open_source(world.here / name, SourceOptions(**vars(options) | {"root": root}))


@pytest.mark.parametrize("cloud", [False, True], ids=["here", "cloud"])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_bytes_and_labels_by_every_way(world: World, way: str, cloud: bool) -> None:
    source = opened(world, way, cloud=cloud)
    items = list(source)
    assert items == list(source)
    wanted = world.images
    if way == "tar":
        wanted = dict(list(world.images.items())[3:])
    if way == "list":
        wanted = dict.fromkeys(world.images)
    copy = pickle.loads(pickle.dumps(source))
    for each in (source, copy):
        with ThreadPoolExecutor(4) as threads:
            data = list(threads.map(each.read, [item.key for item in items]))
        found = dict(zip(data, (item.label for item in items), strict=True))
        assert found == wanted
    assert source.class_names() == tuple(sorted({v for v in wanted.values() if v}))
    assert [copy.stamp(item.key) for item in items] == [source.stamp(item.key) for item in items]
    assert MISSING not in [source.stamp(item.key) for item in items]


@pytest.mark.parametrize("way", ["folder", "table", "tars", "parquet"])
def test_here_and_in_the_cloud_keys_are_the_same(world: World, way: str) -> None:
    here, there = (opened(world, way, cloud=cloud) for cloud in (False, True))
    assert sorted(here, key=str) == sorted(there, key=str)
    key = next(iter(here)).key
    assert here.stamp(key).size == there.stamp(key).size


def test_what_is_not_in_the_cloud(world: World) -> None:
    source = open_source(f"{world.there}/photos/", SourceOptions())
    assert source.stamp("coat/no.png") == MISSING
    with pytest.raises(ValueError, match=r"^file not found$"):
        source.read("coat/no.png")
    for name, said in (
        ("none", "no image in s3://"),
        ("none.csv", r"cannot read the table s3://.*/none.csv \(no such object\)"),
        ("none.tar", r"cannot read s3://.*/none.tar \(no such object\): expected a .tar"),
        ("none.parquet", "none.parquet cannot be read as a Parquet file"),
        ("none.txt", r"cannot read the list s3://.*/none.txt \(no such object\)"),
    ):
        with pytest.raises(SourceError, match=said):
            open_source(f"{world.there}/{name}", SourceOptions())


def test_prefixes_called_like_files(world: World, tmp_path: Path) -> None:
    written(tmp_path / "rows" / "a.parquet" / "0.parquet", [b"x"])
    packed(tmp_path / "tars" / "a.tar" / "0.tar", {"in.tar/1.png": b"x"})
    there = upload(tmp_path, "s3://bucket/called like files")
    for name in ("rows", "rows/a.parquet/", "tars", "tars/a.tar/"):
        source = open_source(f"{there}/{name}", SourceOptions())
        (item,) = source
        for each in (source, pickle.loads(pickle.dumps(source))):
            assert each.read(item.key) == b"x"
            assert each.stamp(item.key) != MISSING


@pytest.mark.parametrize("first", ["0.png", "z.png"])
@pytest.mark.parametrize("shard", ["data/1.tar", "data/1.parquet"])
def test_images_beside_shards_are_refused(tmp_path: Path, shard: str, first: str) -> None:
    """A thumbnail beside a data set as a backup beside photos: what is meant is not clear."""
    for name in (shard, first, f"photos/{first}"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(
        SourceError, match=rf" holds {first} and {shard}: give a folder of one kind"
    ):
        open_source(tmp_path, SourceOptions())
    assert len(list(open_source(tmp_path / "photos", SourceOptions()))) == 1


def test_what_is_there_is_told_apart(tmp_path: Path) -> None:
    folder(tmp_path / "photos", {"a": 1})
    packed(tmp_path / "photos" / "backup.tar", {"1.jpg": b""})
    packed(tmp_path / "tars" / "1.tar", {"1.jpg": b""})
    written(tmp_path / "rows" / "1.parquet", [b"x"])
    for name, kind in (("photos", Folder), ("tars", Tars), ("rows", ParquetImages)):
        assert type(find_source(tmp_path / name, SourceOptions())) is kind
    assert type(find_source(str(tmp_path / "tars" / "1.tar"), SourceOptions())) is Tars
    (tmp_path / "x.csv").mkdir()
    assert type(find_source(tmp_path / "x.csv", SourceOptions())) is Folder
    (tmp_path / "T.CSV").write_text("path\n")
    assert type(find_source(tmp_path / "T.CSV", SourceOptions())) is Table


def test_parquet_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "1.parquet", [b"x", b"y"], part=["train", "test"])
    source = open_source(path, SourceOptions(split="column:part"))
    assert [item.split for item in source] == ["pool", "test"]
    with pytest.raises(SourceError, match=r"'part' of .* is of type string"):
        open_source(path, SourceOptions(path_column="part"))


def test_names_reach_the_numbers_in_tars(tmp_path: Path) -> None:
    path = packed(tmp_path / "1.tar", {"1.jpg": b"", "1.cls": b"1", "2.jpg": b"", "2.cls": b"0"})
    (tmp_path / "names.txt").write_text("hat\ncoat\n")
    source = open_source(path, SourceOptions(labels=tmp_path / "names.txt"))
    assert [item.label for item in source] == ["coat", "hat"]
    assert source.class_names() == ("hat", "coat")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("none", {}, "does not exist; give a folder of images, of .tar or of .parquet files"),
        ("a.tar.gz", {}, "is compressed as a whole.*gunzip"),
        ("a.tgz", {}, "is compressed as a whole"),
        ("a.jpg", {}, "is a file that is no source; give a folder"),
        ("both", {}, "holds a.tar and b.parquet: give a folder of one kind"),
        ("t.tar", {"split": "column:x"}, "--split column:x needs a table, but .* holds tars"),
        ("t.tar", {"label_column": "x"}, "--label-column and --root are for tables, but .* tars"),
        ("l.txt", {"split": "folder"}, "--split folder needs a folder, but .* a list of addresses"),
        ("l.txt", {"root": Path("x")}, "are for tables, but .* is a list of addresses"),
        ("t.csv", {"split": "folder"}, "--split folder needs a folder, but .* is a table"),
        ("t.csv", {"split": "half"}, "--split half is unknown"),
    ],
)
def test_what_is_no_source(
    tmp_path: Path, name: str, options: dict[str, object], said: str
) -> None:
    for file in ("a.tar.gz", "a.tgz", "a.jpg", "both/a.tar", "both/b.parquet", "t.csv"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
    packed(tmp_path / "t.tar", {"1.jpg": b""})
    (tmp_path / "l.txt").write_text("https://host/1.jpg\n")
    with pytest.raises(SourceError, match=said) as caught:
        open_source(tmp_path / name, SourceOptions(**options))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_an_address_is_no_source() -> None:
    with pytest.raises(SourceError, match=r"put it, or many, into a .txt file"):
        open_source("https://host/1.jpg", SourceOptions())


def test_places() -> None:
    assert place_of("photos/2024") == Path("photos/2024")
    assert place_of("S3://b/p/") == "S3://b/p"
    assert place_of(Path("gcs://b/p")) == "gcs://b/p"
    assert place_of(Path("az://b")) == "az://b"
    assert place_of("s3:/b") == "s3://b", "what a Path makes of it"
    assert str(root_of("s3://b/p")) == "s3://b/p"
    assert str(root_of(Path("p"))) == "p"
