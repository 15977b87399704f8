"""More connections than a person makes in a month, all at once."""

import asyncio
import resource
import signal
from collections.abc import Awaitable, Callable, Iterator

import httpx
import psutil
import pytest

from clipcache.labels import SKIPPED
from clipcache.web.connection import MOST
from clipcache.web.server import BACKLOG
from tests.web.conftest import Server

PATIENCE = 3.0
CROWD = 1000
OWN = 100
"""Files that a server has open besides its connections, at most."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open a file for each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * CROWD:
        pytest.skip(f"a process may open only {hard} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * CROWD), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def connect(server: Server, *, ask: bool) -> int:
    """Open a connection and return the status that it is told, 0 where it is hung up on."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    except OSError:
        return 0
    try:
        if ask:
            request = f"GET /deck HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
            writer.write(request.encode())
        line = await asyncio.wait_for(reader.readline(), 4 * PATIENCE)
        return int(line.split()[1]) if line else 0
    except (ConnectionError, TimeoutError):  # a full backlog drops some, who never hear of it
        return 0
    finally:
        writer.close()


async def insist(ask: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Ask again until there is an answer, as the page does."""
    async with asyncio.timeout(20 * PATIENCE):
        while True:
            try:
                answer = await ask()
                if answer.status_code == 200:
                    return answer
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)


async def label_one(client: httpx.AsyncClient) -> int:
    deck = await insist(lambda: client.get("/deck"))
    row = deck.text.split('data-row="')[1].split('"')[0]
    answer = {"row": row, "label": str(SKIPPED)}
    await insist(lambda: client.post("/answer", data=answer))
    return int(row)


async def most_files(server: Server, crowd: list[asyncio.Task[int]]) -> int:
    """Return the most files that the server had open at once while the crowd was there."""
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    most = 0
    while not all(one.done() for one in crowd):
        most = max(most, process.num_fds())
        await asyncio.sleep(0.05)
    return most


def test_a_crowd_is_refused_and_who_was_there_is_heard(
    make_server: Callable[..., Server], many_files: None
) -> None:
    """1,000 connections, most of which never ask, and one person who labels through it."""
    server = make_server(patience=PATIENCE)

    async def all_at_once(cookies: httpx.Cookies) -> tuple[list[int], int, int]:
        origin = {"Origin": server.base}
        async with httpx.AsyncClient(base_url=server.base, cookies=cookies, headers=origin) as cem:
            crowd = [
                asyncio.create_task(connect(server, ask=number % 4 == 0)) for number in range(CROWD)
            ]
            watching = asyncio.create_task(most_files(server, crowd))
            row = await label_one(cem)
            return await asyncio.gather(*crowd), await watching, row

    with server.person("Cem") as cem:
        told, files, row = asyncio.run(all_at_once(cem.cookies))
    assert len(told) == CROWD
    assert set(told) <= {0, 401}, "hung up, or told that they have no cookie"
    # A turn of the event loop takes in a backlog, and closes what is too much in the next.
    assert MOST // 2 < files < MOST + 3 * BACKLOG + OWN < CROWD
    assert [(g.annotator, g.row, g.label) for g in server.history()] == [("Cem", row, SKIPPED)]
    assert server.end(signal.SIGINT) == 0
    assert server.said.read_text().splitlines() == [server.url, "closed"]
