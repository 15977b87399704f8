"""A real Label Studio, started once a session, and people who annotate as their browsers would.

CLIPCACHE_LABEL_STUDIO names its executable, as made by `python3 -m venv ls && ls/bin/pip install
label-studio`; without it, these tests are skipped.
"""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.token import Token

VARIABLE = "CLIPCACHE_LABEL_STUDIO"
BOSS, PASSWORD = "boss@example.org", "a long enough 1"
START = 420
"""Seconds that a server may take to make its database and start: 30 on a quiet machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Person:
    """Somebody with a browser: a session cookie, no token."""

    def __init__(self, url: str, email: str) -> None:
        self.email = email
        self.http = httpx.Client(base_url=url, timeout=60, headers={"Referer": url})
        self.http.get("/user/login/")
        self._form("/user/signup/" if email != BOSS else "/user/login/")

    def _form(self, path: str) -> None:
        csrf = self.http.cookies["csrftoken"]
        fields = {"email": self.email, "password": PASSWORD, "csrfmiddlewaretoken": csrf}
        answer = self.http.post(path, data=fields)
        assert answer.status_code == 302, answer.text[-2000:]

    def send(self, method: str, path: str, **how: Any) -> Any:
        csrf = {"X-CSRFToken": self.http.cookies["csrftoken"]}
        answer = self.http.request(method, path, headers=csrf, **how)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json() if answer.content else None

    def next_task(self, project: int) -> Any:
        """Open the next task, as "Label All Tasks" does."""
        return self.send("GET", f"/api/projects/{project}/next")

    def annotate(self, task: int, result: list[Any], *, skip: bool = False) -> int:
        """Press "Submit" or "Skip"."""
        said = {"result": result, "was_cancelled": skip, "lead_time": 1.5}
        return int(self.send("POST", f"/api/tasks/{task}/annotations/", json=said)["id"])

    def change(self, annotation: int, result: list[Any]) -> None:
        """Press "Update"."""
        self.send("PATCH", f"/api/annotations/{annotation}/", json={"result": result})

    def delete(self, annotation: int) -> None:
        self.send("DELETE", f"/api/annotations/{annotation}/")


@dataclass
class Server:
    """A running Label Studio, and its administrator's two tokens."""

    url: str
    legacy: str = field(repr=False)
    personal: str = field(default="", repr=False)
    people: dict[str, Person] = field(default_factory=dict, repr=False)

    def client(self, *, personal: bool = True) -> LabelStudio:
        return LabelStudio(self.url, Token(self.personal if personal else self.legacy))

    def person(self, email: str) -> Person:
        """Return somebody who has signed up; the same one for the same email."""
        if email not in self.people:
            self.people[email] = Person(self.url, email)
        return self.people[email]


def start(executable: str, folder: Path, log: Path) -> tuple[subprocess.Popen[bytes], Server]:
    legacy, port = secrets.token_hex(20), free_port()
    settings = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "SSRF_PROTECTION_ENABLED": "false",
        "ML_BLOCK_LOCAL_IP": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "false",
    }
    who = ["--username", BOSS, "--password", PASSWORD, "--user-token", legacy]
    where = ["--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [executable, "start", *where, *who],
            env={**os.environ, **settings},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it starts children of its own, which end with it
        )
    return process, Server(f"http://127.0.0.1:{port}", legacy)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Label Studio with an empty database of its own."""
    executable = os.environ.get(VARIABLE)
    if not executable:
        pytest.skip(f"{VARIABLE} does not name a label-studio executable")
    base = tmp_path_factory.mktemp("label-studio")
    log = base / "log"
    process, server = start(executable, base / "data", log)
    try:
        wait_for(lambda: _healthy(server.url) or process.poll() is not None, START)
        if not _healthy(server.url):
            pytest.fail(f"Label Studio did not start: {log.read_text(errors='replace')[-2000:]}")
        headers = {"Authorization": f"Token {server.legacy}"}
        made = httpx.post(f"{server.url}/api/token/", headers=headers, timeout=60)
        server.personal = made.json()["token"]
        yield server
    finally:
        for person in server.people.values():
            person.http.close()
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(done: Callable[[], Any], seconds: float) -> Any:
    """Return what `done` returns once that is true; what it returns last, after so long."""
    end = time.monotonic() + seconds
    while not (found := done()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
