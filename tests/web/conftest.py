"""Pages served by a process of its own, and a person at them without a browser."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import httpx
import pytest

from clipcache.labels import Given, LabelStore
from clipcache.run import Run
from clipcache.web.token import read_token
from tests.web.pool import begin, draw_images, write_cache

REPOSITORY = Path(__file__).parents[2]
WAIT = 60.0


class Server:
    """`clipcache label` on one port, which may be killed and started again.

    With `patience`, seconds after which slow ones are cut off, it is `tests.web.served`.
    """

    def __init__(self, folder: Path, images: Path, patience: float | None = None) -> None:
        self.folder = folder
        self.images = images
        self.patience = patience
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.said = folder.with_name("said.txt")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.base}/?token={read_token(self.folder)}"

    def start(self) -> None:
        if self.patience is None:
            label = ["clipcache.cli.main", "label", self.folder, "--images", self.images]
            module = [*label, "--port", self.port]
        else:
            module = ["tests.web.served", self.folder, self.images, self.port, self.patience]
        command = [sys.executable, "-m", *map(str, module)]
        with self.said.open("ab") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, cwd=REPOSITORY)
        end = time.monotonic() + WAIT
        while not self.answers():
            assert self.process.poll() is None, self.said.read_text()
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.05)

    def answers(self) -> bool:
        try:
            with urlopen(f"{self.base}/welcome", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        os.kill(self.process.pid, number)
        return self.process.wait(WAIT)

    @contextmanager
    def person(self, name: str) -> Iterator[httpx.Client]:
        """Somebody with the cookie, who has said who they are."""
        # Without `verify` it would spend more time on certificates than on all else.
        origin = {"Origin": self.base}
        with httpx.Client(base_url=self.base, headers=origin, timeout=20, verify=False) as client:
            client.get("/", params=urlsplit(self.url).query)
            assert client.post("/name", data={"name": name}).status_code == 303
            yield client

    @cached_property
    def cookies(self) -> str:
        """What a browser sends with each request."""
        with self.person("Anna") as client:
            return "; ".join(f"{name}={value}" for name, value in client.cookies.items())

    def history(self) -> list[Given]:
        store = LabelStore(self.folder / "labels.sqlite")
        try:
            return store.history()
        finally:
            store.close()


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `images` and their `cache`; nobody writes to it."""
    root = tmp_path_factory.mktemp("pool")
    draw_images(root / "images")
    write_cache(root / "cache")
    return root


@pytest.fixture(scope="module")
def make_server(
    pool: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Server]]:
    """Call it to get a running server on a new run; all are killed at the end."""
    servers: list[Server] = []

    def make(**options: float) -> Server:
        folder = tmp_path_factory.mktemp("served") / "run"
        begin(pool, folder).store.close()
        servers.append(Server(folder, pool / "images", **options))
        servers[-1].start()
        return servers[-1]

    yield make
    for server in servers:
        if server.process is not None and server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.fixture
def run(pool: Path, tmp_path: Path) -> Iterator[Run]:
    """A new run over the drawn pool."""
    made = begin(pool, tmp_path / "run")
    yield made
    made.store.close()
