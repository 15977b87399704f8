"""`clipcache embed` on images that lie neither in folders nor beside tables, and once more."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from clipcache.cache import EmbeddingCache
from tests.buckets import make_bucket, s3_server, upload
from tests.cli.conftest import TINY, Cli
from tests.cli.test_errors import refused
from tests.images.test_parquet import written
from tests.images.test_tar import packed
from tests.pictures import draw, folder, tree
from tests.servers import Server, reply, serving


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        yield "s3://bucket/photos"


@pytest.fixture
def web(photos: Path) -> Iterator[Server]:
    def answer(request: BaseHTTPRequestHandler, before: int) -> None:
        file = photos / request.path.strip("/")
        reply(request, *((200, file.read_bytes()) if file.is_file() else (404, b"")))

    with serving(answer) as server:
        yield server


def vectors(path: Path) -> list[bytes]:
    cache = EmbeddingCache.open(path)
    return sorted(row.tobytes() for row in cache.embeddings()[:])


def test_every_way_makes_the_same_vectors(
    cli: Cli, photos: Path, web: Server, s3: str, tmp_path: Path
) -> None:
    files = sorted(photos.rglob("*.png"))
    keys = [file.relative_to(photos).as_posix() for file in files]
    data = [file.read_bytes() for file in files]
    (tmp_path / "list.txt").write_text("".join(f"{web.url}/{key}\n" for key in keys))
    sources = (
        photos,
        packed(tmp_path / "t.tar", dict(zip(keys, data, strict=True))),
        written(tmp_path / "p.parquet", data).parent / "p.parquet",
        tmp_path / "list.txt",
        upload(photos, s3),
    )
    made = []
    for number, source in enumerate(sources):
        cache = tmp_path / f"{number}.zarr"
        result = cli("embed", source, cache, *TINY, "--json")
        assert result.code == 0, result.err
        made.append(vectors(cache))
    for number in (1, 3, 4):
        source, cache = sources[number], tmp_path / f"{number}.zarr"
        before = tree(cache)
        assert json.loads(cli("embed", source, cache, *TINY, "--json").out)["unchanged"] == 21
        assert tree(cache) == before
    assert all(each == made[0] for each in made)
    assert len(made[0]) == 21
    assert len(web.asked) == 21, "nothing is fetched twice"
    keys_there = EmbeddingCache.open(tmp_path / "4.zarr").keys().tolist()
    assert sorted(keys_there) == keys


def test_what_is_not_there_fails_once(cli: Cli, web: Server, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{web.url}/coat/000.png\n{web.url}/gone.png\n")
    first = cli("embed", tmp_path / "list.txt", tmp_path / "c", *TINY)
    assert first.code == 0
    assert f"failed: {web.url}/gone.png: the server answered with status 404" in first.out
    cli("embed", tmp_path / "list.txt", tmp_path / "c", *TINY)
    assert len(web.asked) == 2


def test_a_tar_that_was_cut_off_is_made_whole(cli: Cli, tmp_path: Path) -> None:
    folder(tmp_path / "photos", {"": 3}, seed=70)
    files = {file.name: file.read_bytes() for file in sorted((tmp_path / "photos").iterdir())}
    path = packed(tmp_path / "t.tar", files)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"IEND") - 20])
    first = cli("embed", path, tmp_path / "c", *TINY)
    assert "failed: t.tar/002.png: cut off: the tar ends before this image does" in first.out
    path.write_bytes(whole)
    again = json.loads(cli("embed", path, tmp_path / "c", *TINY, "--json").out)
    assert (again["processed"], again["failed"]) == (3, 0)
    assert len(vectors(tmp_path / "c")) == 3


def test_sources_that_are_refused(cli: Cli, s3: str, tmp_path: Path) -> None:
    for source, said in (
        ("s3://no-such-bucket/x", "there is no bucket 'no-such-bucket' in S3"),
        (s3, "no image in s3://bucket/photos"),
        ("s3://", "names no bucket"),
        ("https://host/1.jpg", "put it, or many, into a .txt file"),
    ):
        refused(cli("embed", source, tmp_path / "c", *TINY), said)
    assert not (tmp_path / "c").exists()


def test_labels_and_names_of_tars(cli: Cli, tmp_path: Path) -> None:
    draw(1).save(tmp_path / "1.png")
    files = {"1.png": (tmp_path / "1.png").read_bytes(), "1.cls": b"1"}
    packed(tmp_path / "tars" / "t.tar", files)
    (tmp_path / "names.txt").write_text("hat\ncoat\n")
    options = (*TINY, "--labels", tmp_path / "names.txt")
    assert cli("embed", tmp_path / "tars", tmp_path / "c", *options).code == 0
    cache = EmbeddingCache.open(tmp_path / "c")
    assert [cache.names()[label] for label in cache.labels()] == ["coat"]


def test_help_names_every_source(cli: Cli) -> None:
    said = cli("embed", "--help").out
    for word in (".csv", ".txt", ".tar", ".parquet", "s3://", "gs://", "az://"):
        assert word in said
