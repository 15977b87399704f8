"""Servers of S3 and of Google Cloud Storage on this machine, for tests."""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import httpx
import pytest

from clipcache.objects import Objects

SETTINGS = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "secret-of-nobody",
    "AWS_REGION": "us-east-1",
}


@contextmanager
def s3_server(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with no bucket, which the environment names until the end."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION"):
            patch.delenv(name, raising=False)
        for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": address}.items():
            patch.setenv(name, value)
        # Servers share their buckets.
        httpx.post(f"{address}/moto-api/reset", trust_env=False, timeout=60)
        yield address
    finally:
        server.stop()


def make_bucket(address: str, name: str) -> None:
    """Make a bucket, which obstore cannot: a PUT without a body or a signature will do here."""
    assert httpx.put(f"{address}/{name}", trust_env=False, timeout=60).status_code == 200


def upload(root: Path, url: str) -> str:
    """Put every file below a folder below a prefix, and return the prefix."""
    import obstore

    from clipcache.clouds import open_store

    store = open_store(url)
    for file in sorted(root.rglob("*")):
        if file.is_file():
            obstore.put(store, file.relative_to(root).as_posix(), file.read_bytes())
    return url


def lock(bucket: Objects, **changes: object) -> None:
    """Put the lock of somebody else."""
    holder = {
        "host": "elsewhere",
        "machine": "elsewhere",
        "pid": 1,
        "lease": "x",
        "turn": "x",
        **changes,
    }
    bucket.put(".lock", json.dumps(holder).encode())


def until_lost() -> None:
    """Wait until this process renews no lock any more."""
    ends = time.monotonic() + 30
    while any(thread.name == "renew" for thread in threading.enumerate()):
        assert time.monotonic() < ends
        time.sleep(0.01)


@contextmanager
def google_server(patch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has every bucket, which the environment names until the end."""
    with GoogleServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_address[1]}"
            nobody = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
            key = json.dumps({**nobody, "disable_oauth": True, "gcs_base_url": address})
            patch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", key)
            patch.setenv("GOOGLE_BASE_URL", address)
            yield address
        finally:
            server.shutdown()
            thread.join()


class Stored(NamedTuple):
    data: bytes
    generation: int
    modified: datetime

    def headers(self) -> dict[str, str]:
        return {
            "ETag": f'"{hashlib.md5(self.data).hexdigest()}"',
            "Last-Modified": format_datetime(self.modified, usegmt=True),
            "x-goog-generation": str(self.generation),
        }

    def listed(self, key: str) -> str:
        told = {"Key": escape(key), "Size": len(self.data), "ETag": self.headers()["ETag"]}
        told["LastModified"] = self.modified.isoformat()
        return "".join(f"<{name}>{value}</{name}>" for name, value in told.items())


class GoogleServer(ThreadingHTTPServer):
    daemon_threads, block_on_close = True, False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), GoogleHandler)
        self.lock, self.generations = threading.Lock(), count(1)
        self.stored: dict[str, Stored] = {}


class GoogleHandler(BaseHTTPRequestHandler):
    """What the XML API of Google Cloud Storage says of whole objects, without pages of listings.

    A write gives an object another generation. One that demands the generation of what is there, or
    0 for nothing, answers 412 where it is another.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: GoogleServer

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        key, demanded = self._asked()[0], self.headers.get("x-goog-if-generation-match")
        with self.server.lock:
            there = self.server.stored.get(key)
            if demanded and int(demanded) != (there.generation if there else 0):
                return self._answer(412)
            stored = Stored(data, next(self.server.generations), datetime.now(UTC))
            self.server.stored[key] = stored
        self._answer(200, stored)

    def do_GET(self) -> None:
        key, query = self._asked()
        if query:
            self._answer(200, body=self._listing(key, **query).encode())
        elif stored := self.server.stored.get(key):
            self._answer(200, stored, stored.data)
        else:
            self._answer(404)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        self._answer(204 if self.server.stored.pop(self._asked()[0], None) else 404)

    def _asked(self) -> tuple[str, dict[str, str]]:
        """Return bucket and key, and what a listing is to be of."""
        url = urlsplit(self.path)
        return unquote(url.path), {name: value[0] for name, value in parse_qs(url.query).items()}

    def _listing(self, bucket: str, prefix: str = "", delimiter: str = "", **others: str) -> str:
        with self.server.lock:
            stored = sorted(self.server.stored.items())
        listed = ""
        for name, each in stored:
            key = name.removeprefix(f"{bucket}/")
            if key.startswith(prefix) and (not delimiter or delimiter not in key[len(prefix) :]):
                listed += f"<Contents>{each.listed(key)}</Contents>"
        return f"<ListBucketResult>{listed}</ListBucketResult>"

    def _answer(self, status: int, of: Stored | None = None, body: bytes = b"") -> None:
        headers = of.headers() if of else {}
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
