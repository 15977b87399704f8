"""What becomes of a cache in a bucket when the cloud drops connections or refuses in the middle."""

import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from clipcache import clouds
from clipcache.cache import EmbeddingCache, lease
from clipcache.cache.bucket import Bucket
from clipcache.embed import EmbedOptions, EmbedSummary, embed
from clipcache.errors import CacheError, SourceError
from clipcache.images.folder import Folder
from clipcache.images.source import SourceOptions, open_source
from clipcache.objects import Objects
from tests.buckets import lock, make_bucket, s3_server, upload
from tests.pictures import folder, tree
from tests.real_encoder import tiny

URL = "s3://bucket/c.zarr"
OPTIONS = EmbedOptions(batch_size=5, workers=2, chunk_rows=8)
REFUSALS: dict[str, tuple[int, dict[str, str], bytes]] = {
    "expired": (400, {}, b"<Error><Code>ExpiredToken</Code><Message>Expired.</Message></Error>"),
    "denied": (403, {}, b"<Error><Code>AccessDenied</Code><Message>Denied.</Message></Error>"),
}

Fault = Callable[[str, str], str]
"""Called with the method and path of a request; returns what happens to it:

"" (nothing), "drop" (half of it arrives), one of REFUSALS, "lost" (its answer is lost), or the name
of a header (which does not arrive).
"""


class Relay(BaseHTTPRequestHandler):
    """Hands requests on to the real server, but for those that something happens to."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    fault: Fault
    behind: httpx.Client

    def do_PUT(self) -> None:
        what = type(self).fault(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        if what == "drop":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if what in REFUSALS:
            self._answer(*REFUSALS[what])
            return
        kept = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", what)}
        done = self.behind.request(self.command, self.path, headers=kept, content=body)
        if what == "lost":
            self._answer(500, {}, b"")
            return
        head = {k: v for k, v in done.headers.items() if k.lower() not in HOP}
        self._answer(done.status_code, head, done.content)

    do_GET = do_HEAD = do_DELETE = do_POST = do_PUT

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        size = headers.pop("content-length", str(len(body)))
        for name, value in {**headers, "Content-Length": size}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


HOP = ("connection", "transfer-encoding", "server", "date", "content-encoding")


@contextmanager
def relay(behind: str, fault: Fault) -> Iterator[str]:
    client = httpx.Client(base_url=behind, trust_env=False, timeout=60)
    handler = type("Handler", (Relay,), {"behind": client, "fault": staticmethod(fault)})
    with client, ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    quick = clouds.RETRY | {"max_retries": 2}
    monkeypatch.setattr(clouds, "RETRY", quick)
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        yield address


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return folder(tmp_path / "photos", {"coat": 20, "hat": 17})


def run(photos: Path, path: Path | str) -> EmbedSummary:
    return embed(Folder(photos), tiny(), path, OPTIONS)


def copied() -> dict[str, bytes]:
    found = tree(EmbeddingCache.open(URL).folder)
    found.pop(".tags.json")
    return found


def vectors_of(chunk: int, method: str, path: str) -> bool:
    return method == "PUT" and path.endswith(f"images/embedding/c/{chunk}/0")


def test_a_dropped_connection_is_tried_again(
    real: str, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[str] = []

    def fault(method: str, path: str) -> str:
        if vectors_of(2, method, path):
            seen.append(path)
            return "drop" if len(seen) == 1 else ""
        return ""

    with relay(real, fault) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert run(photos, URL).processed == 37
        assert len(seen) > 1
        run(photos, tmp_path / "w")
        assert copied() == tree(tmp_path / "w")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("drop", "S3 cannot be reached, or the connection broke"),
        ("expired", "credentials for S3 are missing, wrong or expired"),
    ],
)
def test_what_ends_a_run_in_the_middle_of_a_chunk_costs_that_chunk(
    real: str, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str, told: str
) -> None:
    """From the third chunk's vectors on nothing goes through, not even giving back the lock."""
    broken = threading.Event()
    mended = threading.Event()

    def faults(method: str, path: str) -> str:
        if vectors_of(2, method, path):
            broken.set()
        return fault if broken.is_set() and not mended.is_set() else ""

    with relay(real, faults) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(SourceError, match=told) as caught:
            run(photos, URL)
        assert "\n" not in str(caught.value)
        mended.set()
        assert EmbeddingCache.open(URL).finished_rows("result").tolist() == [8, 8, 0, 0, 0]
        assert run(photos, URL).processed == 21
        run(photos, tmp_path / "w")
        assert copied() == tree(tmp_path / "w")


@pytest.mark.parametrize("shards", [False, True], ids=["images", "tar"])
def test_credentials_that_expire_among_images_fail_no_image(
    real: str, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, shards: bool
) -> None:
    if shards:
        with tarfile.open(photos / "all.tar", "w") as tar:
            for file in sorted(photos.rglob("*.png")):
                tar.add(file, file.name if file.parent.name == "hat" else f"coat-{file.name}")
                file.unlink()
    url = upload(photos, "s3://bucket/photos")
    reads: list[str] = []
    mended = threading.Event()

    def fault(method: str, path: str) -> str:
        if method == "GET" and path.endswith((".png", ".tar")):
            reads.append(path)
        return "expired" if len(reads) > 12 and not mended.is_set() else ""

    with relay(real, fault) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        source = open_source(url, SourceOptions())
        with pytest.raises(SourceError, match="credentials for S3 are missing, wrong or expired"):
            embed(source, tiny(), tmp_path / "w", OPTIONS)
        mended.set()
        summary = embed(source, tiny(), tmp_path / "w", OPTIONS)
        assert (summary.images, summary.failed) == (37, 0)


def test_an_image_that_might_not_be_read_is_asked_for_again(
    real: str, photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url = upload(photos, "s3://bucket/photos")
    closed = threading.Event()
    closed.set()

    def fault(method: str, path: str) -> str:
        return "denied" if path.endswith("hat/003.png") and closed.is_set() else ""

    with relay(real, fault) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        source = open_source(url, SourceOptions())
        first = embed(source, tiny(), tmp_path / "w", OPTIONS)
        assert first.failures == ("hat/003.png: access is denied",)
        closed.clear()
        again = embed(source, tiny(), tmp_path / "w", OPTIONS)
        assert (again.processed, again.failed) == (1, 0)


@pytest.mark.parametrize("first", [0, 1])
def test_a_lock_is_ones_own_where_only_the_answer_was_lost(
    real: str, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """As by a proxy that gives up on a cloud which has done as it was told: every second time."""
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    puts: list[str] = []

    def fault(method: str, path: str) -> str:
        if method == "PUT" and path.endswith("/.lock"):
            puts.append(path)
            return "lost" if len(puts) % 2 != first else ""
        return ""

    with relay(real, fault) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        bucket = Objects(URL)
        mine = lease.Lease(bucket, ".lock")
        assert mine.take()
        ends = time.monotonic() + 30
        while len(puts) < 9:
            assert time.monotonic() < ends
            mine.check()
        mine.free()
        assert bucket.get(".lock") == b"", "nobody has it"


def test_nobody_waits_for_a_renewal_that_hangs(real: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED", 0.05)
    monkeypatch.setattr("clipcache.cache.bucket.TIMEOUT", "4s")
    taken, hangs, mended = threading.Event(), threading.Event(), threading.Event()

    def fault(method: str, path: str) -> str:
        if taken.is_set():
            hangs.set()
            mended.wait(60)
            return "drop"
        return ""

    with relay(real, fault) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with Bucket(URL).take(".lock"):
            taken.set()
            assert hangs.wait(30)
            began = time.monotonic()
        took = time.monotonic() - began
        mended.set()
    assert took < 30


def test_a_lock_is_looked_at_once(real: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gone at a second look must not pass for alive."""
    direct = Objects(URL)
    direct.put(".lock", b"")  # nobody's
    looks: list[str] = []

    def fault(method: str, path: str) -> str:
        if path.endswith("/.lock"):
            looks.append(method)
            if len(looks) == 2:
                direct.delete(".lock")
        return ""

    with relay(real, fault) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        assert not Bucket(URL).held(".lock")
    assert looks


def test_who_has_just_ended_is_not_in_the_way(real: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcache.cache.bucket.LOOK", 0.01)
    direct = Objects(URL)
    lock(direct)
    looks: list[str] = []

    def fault(method: str, path: str) -> str:
        if method == "GET" and path.endswith("/.lock"):
            looks.append(path)
            if len(looks) == 2:  # after it was found that it lives, before it is told whose it is
                direct.delete(".lock")
        return ""

    with relay(real, fault) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        bucket = Bucket(URL)
        with bucket.take(".lock"):
            assert bucket.held(".lock")


@pytest.mark.parametrize("there", [None, b""], ids=["new", "taken over"])
@pytest.mark.parametrize("condition", ["if-none-match", "if-match"])
def test_a_store_that_ignores_conditions_is_refused(
    real: str, photos: Path, monkeypatch: pytest.MonkeyPatch, condition: str, there: bytes | None
) -> None:
    if there is not None:
        Objects(URL).put(".lock", there)
    with relay(real, lambda method, path: condition) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with pytest.raises(CacheError, match="ignores conditional writes") as caught:
            run(photos, URL)
        assert "\n" not in str(caught.value)
        assert [found.key for found in Objects(URL).list()] == [".lock"]
        assert Objects(URL).get(".lock") == b"", "nobody has it"
