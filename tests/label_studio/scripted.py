"""A small HTTP server that answers as a test says, and remembers what it was asked."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    method: str
    path: str
    authorization: str
    body: Any


@dataclass
class Said:
    """An answer; None as its status closes the connection without one."""

    status: int | None = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Answerer = Callable[[Asked], Said]


@dataclass
class Scripted:
    url: str
    asked: list[Asked] = field(default_factory=list)

    def calls(self, path: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.startswith(path)]


@contextmanager
def scripted(answer: Answerer) -> Iterator[Scripted]:
    """Serve on a free port, each request in a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said_by = self.headers.get("Authorization", "")
            asked = Asked(self.command, self.path, said_by, json.loads(body) if body else None)
            server.asked.append(asked)
            said = answer(asked)
            if said.status is None:
                return
            text = said.body if isinstance(said.body, str) else json.dumps(said.body)
            self.send_response(said.status)
            self.send_header("Content-Length", str(len(text.encode())))
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = do_DELETE = _do

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Scripted(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def jwt(word: str, seconds: float = 3600) -> str:
    """Return what looks like a JWT that ends so many seconds from now."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256'})}.{part({'exp': time.time() + seconds})}.{word}"
