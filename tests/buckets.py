"""A server of S3 on this machine, for tests."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

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
        httpx.post(f"{address}/moto-api/reset", trust_env=False)  # servers share their buckets
        yield address
    finally:
        server.stop()


def make_bucket(address: str, name: str) -> None:
    """Make a bucket, which obstore cannot: a PUT without a body or a signature will do here."""
    assert httpx.put(f"{address}/{name}", trust_env=False).status_code == 200


def upload(root: Path, url: str) -> str:
    """Put every file below a folder below a prefix, and return the prefix."""
    import obstore

    from clipcache.clouds import open_store

    store = open_store(url)
    for file in sorted(root.rglob("*")):
        if file.is_file():
            obstore.put(store, file.relative_to(root).as_posix(), file.read_bytes())
    return url
