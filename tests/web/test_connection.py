"""One connection as the browser has it: who is slow is cut off, and nobody because we are."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from clipcache.web import connection
from clipcache.web.connection import BoundedConnection

PATIENCE = 1.0
"""So many seconds may this machine be busy elsewhere, and nobody is cut off for it."""
MUCH = 32 << 20
"""More bytes than the buffers between two ends of a connection hold."""

Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter, ServerState], Awaitable[bytes]]


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    """Take longer than a browser may."""
    body = await Request(scope, receive).body()
    await asyncio.sleep(1.5 * PATIENCE)
    size = MUCH if scope["path"] == "/much" else len(body)
    await PlainTextResponse("x" * size)(scope, receive, send)


async def _visit(visit: Visit) -> bytes:
    config = uvicorn.Config(slow, lifespan="off", log_config=None)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    server = await loop.create_server(
        lambda: BoundedConnection(config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        return await asyncio.wait_for(visit(reader, writer, state), 60)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        server.close()
        await asyncio.gather(*state.tasks)


@pytest.fixture
def visit(monkeypatch: pytest.MonkeyPatch) -> Callable[[Visit], bytes]:
    """Return a function that visits a server which takes its time."""
    monkeypatch.setattr(connection, "PATIENCE", PATIENCE)
    return lambda visit: asyncio.run(_visit(visit))


def request(path: str, size: int) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()


def test_our_own_time_does_not_count(visit: Callable[[Visit], bytes]) -> None:
    """Not in the second request of a connection either."""

    async def twice(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ServerState
    ) -> bytes:
        writer.write(request("/", 3) + b"abc")
        first = await reader.readuntil(b"xxx")
        writer.write(request("/", 2) + b"ab")
        return first[:15] + await reader.readuntil(b"xx")

    said = visit(twice)
    assert said.count(b"HTTP/1.1 200 OK") == 2


def test_whoever_sends_half_is_cut_off(visit: Callable[[Visit], bytes]) -> None:
    async def half(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: ServerState
    ) -> bytes:
        writer.write(request("/", 3) + b"ab")
        return await reader.read()

    assert visit(half) == b""


def test_whoever_does_not_read_is_cut_off(visit: Callable[[Visit], bytes]) -> None:
    async def stare(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: ServerState
    ) -> bytes:
        writer.write(request("/much", 0))
        while not server.connections:
            await asyncio.sleep(0.01)
        while server.connections:
            await asyncio.sleep(0.01)
        return await reader.read()

    assert len(visit(stare)) < MUCH
