"""Hostile requests over real sockets to a real process: refused, and it lives on."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from clipcache.web.body import LARGEST
from clipcache.web.token import read_token
from tests.web.conftest import Server
from tests.web.pool import ROWS

PATIENCE = 4.0


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(patience=PATIENCE)


@pytest.fixture
def anna(server: Server) -> Iterator[httpx.Client]:
    with server.person("Anna") as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_lost(server: Server) -> Iterator[None]:
    """Whatever a test does, the server answers afterwards, and no answer was added or lost."""
    before = server.history()
    yield
    with server.person("Ben") as ben:
        assert ben.get("/").status_code == 200
    assert server.history() == before


def exchange(server: Server, request: bytes) -> bytes:
    """Send raw bytes and return all that comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        with suppress(ConnectionError):  # it may hang up before it has all, with an answer
            line.sendall(request)
        answer = b""
        with suppress(ConnectionError):
            while part := line.recv(65536):
                answer += part
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def get(server: Server, path: str, *more: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{server.port}", "Connection: close", *more]
    return exchange(server, "\r\n".join([*lines, "", ""]).encode("latin-1"))


TRICKS = [
    "/static/../security.py",
    "/static/..%2f..%2fsecurity.py",
    "/static/%2e%2e/%2e%2e/security.py",
    "/static/..%5c..%5csecurity.py",
    "/static//etc/passwd",
    "/static/....//security.py",
    "/static/%00",
    "/static/page.css%00.jpg",
    "//static/page.css",
    "/images/../../etc/passwd",
    "/images/%2e%2e%2f%2e%2e%2fetc%2fpasswd/256",
    "/images/-1/256",
    "/images/1.5/256",
    f"/images/{ROWS}/256",
    "/images/99999999999999999999999999/256",
    f"/images/{'9' * 5000}/256",
    f"/images/1/{'9' * 5000}",
    "/images/1/1",
    "/images/1/100000",
    "/images/000.png/256",
    "/images/1/256/../../../web-token",
    "/web-token",
    "/run/labels.sqlite",
    "/.git/config",
]


NO_NUMBERS = ("/images/1.5", "/images/9", "/images/000", "/images/1/9")


@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_out(server: Server, path: str) -> None:
    answer = get(server, path, f"Cookie: {server.cookies}")
    assert status(answer) == (400 if path.startswith(NO_NUMBERS) else 404)
    assert read_token(server.folder).encode() not in answer
    assert b"root:" not in answer
    without = get(server, path)
    assert status(without) in (401, 404)


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/?token=wrong", [], 403),
        ("/deck", [], 401),
        ("/images/1/256", [], 401),
        ("/deck", ["Cookie: clipcache=1"], 401),
        ("/deck", ["X-Forwarded-Host: 127.0.0.1"], 401),
    ],
)
def test_without_the_token_nothing_is_shown(
    server: Server, path: str, headers: list[str], expected: int
) -> None:
    answer = get(server, path, *headers)
    assert status(answer) == expected
    assert b"000.png" not in answer
    assert b"drawn" not in answer, "not even what the run is called"


@pytest.mark.parametrize(
    "host", [["Host: evil.example"], ["Host: evil.example", "Host: 127.0.0.1"], [], ["Host:"]]
)
def test_another_name_for_this_server_is_refused(server: Server, host: list[str]) -> None:
    request = ["GET / HTTP/1.1", *host, f"Cookie: {server.cookies}", "Connection: close", "", ""]
    assert status(exchange(server, "\r\n".join(request).encode())) in (400, 421)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/answer", "/answers", "/undo", "/decide", "/aside", "/name"])
def test_a_change_from_another_site_is_refused(
    anna: httpx.Client, path: str, headers: dict[str, str]
) -> None:
    data = {"row": "1", "label": "1", "rows": "1", "labels": "1", "name": "x"}
    assert anna.post(path, data=data, headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["/answer", "/answers", "/undo", "/decide"])
def test_a_change_by_an_address_alone_is_refused(anna: httpx.Client, path: str) -> None:
    assert anna.get(path, params={"row": 1, "label": 1}).status_code == 405


def post(server: Server, *headers: str, body: bytes = b"") -> bytes:
    lines = [
        "POST /answer HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Origin: {server.base}",
        f"Cookie: {server.cookies}",
        "Content-Type: application/x-www-form-urlencoded",
        "Connection: close",
        *headers,
    ]
    return exchange(server, "\r\n".join([*lines, "", ""]).encode() + body)


def test_a_huge_body_is_refused_before_it_is_read(server: Server) -> None:
    assert status(post(server, f"Content-Length: {10**12}")) == 413


def test_a_huge_body_in_chunks_is_refused_while_it_comes(server: Server) -> None:
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    answer = post(server, "Transfer-Encoding: chunked", body=chunk * (LARGEST // 4096 + 1))
    assert status(answer) == 413


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: ten"],
        ["Content-Length: -1"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: gzip"],
        [f"X: {'x' * 300_000}"],
        ["no colon"],
    ],
)
def test_what_is_no_http_is_refused(server: Server, headers: list[str]) -> None:
    assert 400 <= status(post(server, *headers, body=b"row=1")) <= 501


def test_noise_is_refused(server: Server) -> None:
    noise = bytes(range(256)) * 1000
    assert exchange(server, noise)[:12] in (b"HTTP/1.1 400", b"")


def test_whoever_stops_sending_is_cut_off(server: Server) -> None:
    form = [
        "POST /answer HTTP/1.1",
        "Host: 127.0.0.1",
        "Origin: http://127.0.0.1",
        f"Cookie: {server.cookies}",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: 10",
    ]
    slow = [b"", b"GET / HTTP/1.1\r\n", "\r\n".join([*form, "", "row"]).encode()]
    with ThreadPoolExecutor(len(slow)) as threads:  # each is told nothing, and hung up on
        assert list(threads.map(lambda request: exchange(server, request), slow)) == [b""] * 3


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"row": "1"},
        {"row": "1", "label": "one"},
        {"row": "1", "label": "1.0"},
        {"row": "1", "label": "٣"},
        {"row": "1", "label": "9" * 5000},
        {"row": "-1", "label": "1"},
        {"row": "1", "label": "6"},
        {"row": "1", "label": "-3"},
        {"row": "1", "label": "-4"},
        {"row": str(ROWS), "label": "1"},
        {"row": "999999999999999", "label": "1"},
        {"row": "1", "name": "   "},
    ],
)
def test_an_answer_that_is_none_is_refused_in_one_line(
    anna: httpx.Client, data: dict[str, str]
) -> None:
    for path in ("/answer", "/decide"):
        answer = anna.post(path, data=data)
        assert answer.status_code in (400, 500)
        assert answer.headers["content-type"].startswith("text/plain")
        assert "\n" not in answer.text
        assert "Traceback" not in answer.text
        assert "Server Error" not in answer.text


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ("1,2", "1"),
        ("", ""),
        ("1,1", "0,1"),
        ("1,2", "0,99"),
        ("1,2", "0,-3"),
        ("1,,2", "0,0,0"),
    ],
)
def test_many_answers_are_kept_all_or_none(anna: httpx.Client, rows: str, labels: str) -> None:
    answer = anna.post("/answers", data={"rows": rows, "labels": labels})
    assert answer.status_code in (400, 500)
