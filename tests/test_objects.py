"""Buckets: what is asked of them, and how each fault is told."""

import builtins
import pickle
import socket
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from clipcache.clouds import CLOUDS, is_object_url, open_store
from clipcache.errors import SourceError
from clipcache.images.base import MISSING, PassingError
from clipcache.images.bucket import Bucket
from clipcache.objects import Objects
from tests.buckets import SETTINGS, make_bucket, s3_server, upload
from tests.servers import Server, reply, serving

ODD = ("a b.jpg", "ü/50%.jpg", "x#1.jpg", "q?.jpg", "[1]+~*.jpg", "per%20cent.jpg", "d.d/e.jpg")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch, s3_server(patch) as address:
        make_bucket(address, "bucket")
        yield address


@pytest.fixture
def objects(s3: str, tmp_path: Path, request: pytest.FixtureRequest) -> Objects:
    for name in ODD:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return Objects(upload(tmp_path, f"s3://bucket/{request.node.name}/under"))


def said(url: str, what: Any = None) -> str:
    with pytest.raises(SourceError) as caught:
        (what or (lambda objects: list(objects.list())))(Objects(url))
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(url)
    assert "secret-of-nobody" not in text
    return text


def test_urls() -> None:
    for url in ("s3://b", "gs://b/p", "gcs://b", "az://b/p", "abfs://b", "ABFSS://b@a.host/p"):
        assert is_object_url(url)
    for text in ("s3:/b", "photos", "/s3://b", "https://b/p", "file:///b", "s3", "C:\\b"):
        assert not is_object_url(text)


def test_stores_are_obstores_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    for url, kind, prefix in (
        ("s3://b/p/q/", S3Store, "p/q"),
        ("gs://b", GCSStore, None),
        ("GCS://b/p", GCSStore, "p"),
        ("az://b/p", AzureStore, "p"),
        ("abfss://b@other.dfs.core.windows.net/p", AzureStore, "p"),
    ):
        store = open_store(url)
        assert type(store) is kind
        assert store.prefix == prefix
    assert store.config["account_name"] == "other"


@pytest.mark.parametrize("url", ["s3://", "s3:///p", "http://b/p", "photos"])
def test_no_bucket(url: str) -> None:
    with pytest.raises(SourceError, match=f"{url} names no bucket: expected one of s3, gs,"):
        open_store(url)


def test_everything_below_is_listed_and_read(objects: Objects) -> None:
    found = list(objects.list())
    assert sorted(f.key for f in found) == sorted(ODD)
    copy = pickle.loads(pickle.dumps(objects))
    hasty = Objects(objects.url, "9s")
    assert hasty == pickle.loads(pickle.dumps(hasty)) != copy == objects
    for each in found:
        data = each.key.encode()
        assert (each.size, objects.head(each.key)) == (len(data), each)
        assert objects.get(each.key) == copy.get(each.key) == data
        assert objects.fetch(each.key) == (data, each)
        assert objects.get_range(each.key, 1, 2) == data[1:3]
        assert objects.get_range(each.key, 1, 10_000) == data[1:]
        assert objects.get_range(each.key, 0, 0) == b""
    for missing in ("no.jpg", "ü"):
        for ask in (objects.head, objects.get):
            with pytest.raises(FileNotFoundError):
                ask(missing)


def test_a_root(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in (".hidden/1.jpg", "._2.jpg", "3.txt"):
        (tmp_path / name).write_bytes(b"x")
    upload(tmp_path, objects.url)
    root = Bucket(objects.url)
    looked = {name: root.stamp(name) for name in ODD}
    assert sorted(root.walk((".jpg",))) == sorted(ODD)
    assert {name: root.stamp(name) for name in ODD} == looked, "one by one, or from the listing"
    assert root.stamp("no.jpg") == Bucket(objects.url).stamp("no.jpg") == MISSING
    for buffer in (1, 3, 1000):
        with root.open(ODD[0], buffer) as file:
            assert file.read(3) == ODD[0].encode()[:3]
            assert file.seek(-2, 2) == len(ODD[0]) - 2
            assert file.read() == b"pg"
            assert file.seek(1) == 1
            assert file.read(4) == ODD[0].encode()[1:5]


def test_a_survey_spares_requests(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    objects.put(".hidden/1.jpg", b"x")
    root = Bucket(objects.url)
    root.survey()
    monkeypatch.setattr(Objects, "head", None)
    monkeypatch.setattr(Objects, "list", None)
    root.survey()
    assert all(root.stamp(name) != MISSING for name in ODD)
    assert root.stamp(".hidden/1.jpg") != MISSING, "a table may name it"
    assert root.stamp("no.jpg") == MISSING


def test_no_such_bucket(s3: str) -> None:
    for what in (None, lambda objects: objects.get("k")):
        assert "there is no bucket 'nobody-s' in S3" in said("s3://nobody-s/p", what)


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
        monkeypatch.setenv(name, value)
    text = said("s3://bucket/p")
    assert "S3 cannot be reached" in text
    assert "AWS_ENDPOINT_URL" in text


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A cloud that answers as the path of the key says: /bucket/STATUS-CODE."""

    def answer(request: BaseHTTPRequestHandler, before: int) -> None:
        status, _, code = request.path.rpartition("/")[2].partition("?")[0].partition("-")
        reply(request, int(status) if status.isdecimal() else 403, error(code or "AccessDenied"))

    with serving(answer) as server:
        for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        yield server


def test_refusals(refusing: Server) -> None:
    for code in ("400-ExpiredToken", "403-InvalidAccessKeyId", "403-SignatureDoesNotMatch"):
        text = said("s3://bucket", lambda objects, code=code: objects.get(code))
        assert "credentials for S3 are missing, wrong or expired" in text
        assert "AWS_ACCESS_KEY_ID" in text
    assert "may not list or read this bucket of S3" in said("s3://bucket")
    one = Bucket("s3://bucket")
    with pytest.raises(PassingError, match=r"^access is denied$"):
        one.read("403-AccessDenied")
    for code in ("400-ExpiredToken", "403-RequestTimeTooSkewed"):
        with pytest.raises(SourceError):  # of all objects: no image fails by it
            one.read(code)
    assert "finds the clock of this machine wrong" in said(
        "s3://bucket", lambda objects: objects.get("403-RequestTimeTooSkewed")
    )
    assert "S3 refused: " in said("s3://bucket", lambda objects: objects.get("400-Whatever"))


def test_a_name_that_cannot_be_used_is_told(s3: str) -> None:
    """Others put there what obstore takes for no path."""
    make_bucket(s3, "odd")
    assert httpx.put(f"{s3}/odd/a//b.jpg", content=b"x", trust_env=False).status_code == 200
    text = said("s3://odd", lambda objects: list(objects.list()))
    assert "an object there has a name that cannot be used" in text
    assert "a//b.jpg" in text
    assert "rename or delete it" in text


def test_a_cloud_that_is_down_is_asked_a_few_times(refusing: Server) -> None:
    text = said("s3://bucket", lambda objects: objects.get("503-SlowDown"))
    assert "503" in text
    assert 2 <= len(refusing.asked) <= 5


def test_an_answer_that_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    now = formatdate(usegmt=True)

    def answer(request: BaseHTTPRequestHandler, before: int) -> None:
        if before:
            return
        request.send_response(200)
        for name, value in (("Content-Length", "9"), ("ETag", "x"), ("Last-Modified", now)):
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(b"h")

    with serving(answer) as server:
        for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        assert "the connection broke" in said("s3://bucket", lambda objects: objects.get("k"))


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Machines in a cloud are told who they are by a neighbour, which here says nothing of use."""
    with serving(lambda request, before: reply(request, 404)) as nobody:
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", nobody.url)
        text = said("s3://bucket/p")
    assert "credentials for S3 are missing" in text
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    assert "credentials for Azure are missing" in said("az://bucket/p")


def test_the_keys_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*SETTINGS, "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = one\naws_secret_access_key = s%1\n"
        "[work]\naws_access_key_id = two\naws_secret_access_key = s2\naws_session_token = t\n"
    )
    (tmp_path / ".aws" / "config").write_text("[profile work]\nregion = eu-north-1\n")
    config = open_store("s3://b").config
    assert (config["access_key_id"], config["secret_access_key"]) == ("one", "s%1")
    monkeypatch.setenv("AWS_PROFILE", "work")
    config = open_store("s3://b").config
    keys = ("access_key_id", "secret_access_key", "session_token", "region")
    assert [config[key] for key in keys] == ["two", "s2", "t", "eu-north-1"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "three")
    with pytest.raises(SourceError, match="credentials for S3 are missing, wrong or expired"):
        open_store("s3://b")  # never one key from here and one from there
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3")
    assert "access_key_id" not in open_store("s3://b").config, "obstore takes it from there"
    (tmp_path / ".aws" / "credentials").write_text("no section")
    with pytest.raises(SourceError, match="credentials cannot be read"):
        open_store("s3://b")


def test_without_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_obstore(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "obstore":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_obstore)
    for what in (None, lambda objects: objects.get("k"), lambda objects: open_store(objects.url)):
        assert 'pip install "clipcache[cloud]"' in said("s3://b", what)


def test_every_cloud_says_where_credentials_are_looked_for() -> None:
    from clipcache.clouds import CREDENTIALS

    assert set(CREDENTIALS) == set(CLOUDS.values())


def test_zarr_can_write_there(s3: str) -> None:
    zarr = pytest.importorskip("zarr")
    store = zarr.storage.ObjectStore(open_store("s3://bucket/cache.zarr"))
    zarr.create_array(store, name="x", shape=(3,), dtype="int64")[:] = [1, 2, 3]
    assert zarr.open_array(store, path="x")[:].tolist() == [1, 2, 3]
    assert obstore.list(open_store("s3://bucket/cache.zarr")).collect()
