"""Serving the pages: one address, quiet, and down in good order when asked to stop."""

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from clipcache.errors import RunError
from clipcache.web.connection import BoundedConnection

BACKLOG = 128
"""Connections that may wait to be taken; as many are taken before any of them is counted."""
HEAD = 16 << 10
"""Bytes of the head of a request, as far as it has not come in one piece."""
IDLE = 10
"""Seconds that a connection is kept for the next request."""
GOODBYE = 5
"""Seconds that requests get to finish when the server is stopped."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port`, 0 for any free port.

    Raises RunError where the port is taken or the address is not of this machine.
    """
    try:
        if not 0 <= port <= 65535:
            raise ValueError("ports go from 0 to 65535")
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RunError(
            f"cannot listen on {host} port {port} ({reason}): give another --port, or 0 for any"
        ) from error


def address_of(listening: socket.socket, token: str, origin: str | None = None) -> str:
    """Return what to open in a browser, with the token; at `origin` where that is given."""
    if origin:
        return f"{origin}/?token={token}"
    host, port = listening.getsockname()[:2]
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/?token={token}"


def serve(app: ASGIApp, listening: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; requests that are under way are finished first.

    `on_ready` is called once requests are answered. Addresses are never logged, as one of them
    holds the token.
    """
    config = uvicorn.Config(
        app,
        http=BoundedConnection,
        ws="none",
        lifespan="off",
        backlog=BACKLOG,
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=HEAD,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=GOODBYE,
    )
    asyncio.run(_serve(_Server(config), listening, on_ready))


class _Server(uvicorn.Server):
    """A server whose signals are ours: uvicorn would end the process with the signal again."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield

    def stop(self) -> None:
        """Take no more requests, finish those under way, and return from `serve`."""
        self.should_exit = True


async def _serve(server: _Server, listening: socket.socket, on_ready: Callable[[], None]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.stop)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not (server.started or serving.done()):
        await asyncio.sleep(0.01)
    if server.started:
        on_ready()
    await serving
