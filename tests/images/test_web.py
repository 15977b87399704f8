"""Images from servers that answer in every way but the right one."""

import logging
import pickle
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

import pytest

from clipcache.errors import ImageError, SourceError
from clipcache.images.addresses import Addresses
from clipcache.images.base import MISSING, Item, PassingError
from clipcache.images.table import Table
from clipcache.images.web import LONGEST_PAUSE, Web, is_address
from tests.servers import Server, reply, serving

over = threading.Event()
"""Set when no test is left: who was told nothing until then need not wait any longer."""


def answer(request: BaseHTTPRequestHandler, before: int) -> None:
    name = request.path.partition("?")[0].strip("/")
    if name.isdecimal():
        reply(request, int(name))
    elif name == "good":
        reply(request, 200, b"picture")
    elif name == "wait":
        header = {"Retry_After": "7"} if before == 0 else {"Retry_After": "9999"}
        reply(request, *((429, b"") if before < 2 else (200, b"picture")), **header)
    elif name == "until":
        late = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
        reply(request, *((503, b"") if before < 1 else (200, b"picture")), Retry_After=late)
    elif name == "twice":
        reply(request, *((500, b"") if before < 2 else (200, b"picture")))
    elif name == "silent":
        over.wait()
    elif name == "broken" or (name == "broken-once" and before == 0):
        reply(request, 200, b"pict", Content_Length="7")
        request.close_connection = True
    elif name == "broken-once":
        reply(request, 200, b"picture")
    elif name in ("endless", "drip"):
        request.send_response(200)
        request.end_headers()
        for _ in range(100_000):
            request.wfile.write(b"x" * (1 << 16) if name == "endless" else b"x")
            time.sleep(0.0 if name == "endless" else 0.05)
    elif name == "moved":
        reply(request, 302, Location="/good")
    elif name == "loop":
        reply(request, 302, Location="/loop")
    elif name == "slowly":
        time.sleep(0.2)
        reply(request, 302, Location="/slowly")
    elif name == "moved-endless":
        request.send_response(302)
        request.send_header("Location", "/good")
        request.end_headers()
        for _ in range(1000):
            request.wfile.write(b"x" * (1 << 16))
    elif name == "headers":
        request.send_response(200)
        for number in range(6):
            request.send_header(f"X-{number}", "drip")
            request.flush_headers()
            time.sleep(0.1)
        request.send_header("Content-Length", "7")
        request.end_headers()
        request.wfile.write(b"picture")
    elif name == "cookie":
        reply(request, 200, str(request.headers["Cookie"]).encode(), Set_Cookie="a=b")
    elif name == "to":
        reply(request, 302, Location=unquote(request.path.partition("?")[2]))
    elif name == "local":
        reply(request, 302, Location="file:///etc/passwd")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(answer) as running:
        yield running
        over.set()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return []


@pytest.fixture
def web(slept: list[float]) -> Web:
    """Waits longer than any server here that answers, on a machine as busy as it may be."""
    return Web(largest=1 << 20, sleep=slept.append)


@pytest.fixture
def hurried(web: Web) -> Web:
    return replace(web, longest=0.4)


def fetched(web: Web, server: Server, path: str) -> tuple[bytes, int]:
    """The image, and the number of requests it took."""
    before = server.asked.count(path)
    data = web.read(server.url + path)
    return data, server.asked.count(path) - before


def reason(web: Web, server: Server, path: str, kind: type[ImageError]) -> tuple[str, int]:
    """Why there is no image, and the number of requests it took."""
    before = server.asked.count(path)
    with pytest.raises(ImageError) as caught:
        web.read(server.url + path)
    said = str(caught.value)
    assert type(caught.value) is kind
    assert "127.0.0.1" not in said
    assert "\n" not in said
    return said, server.asked.count(path) - before


def test_what_is_there_is_fetched(web: Web, server: Server) -> None:
    assert fetched(web, server, "/good") == (b"picture", 1)
    assert web.read(f"{server.url}/moved") == b"picture"


@pytest.mark.parametrize("status", [400, 401, 404, 410, 204])
def test_what_is_refused_is_not_asked_for_again(web: Web, server: Server, status: int) -> None:
    said = f"the server answered with status {status}"
    assert reason(web, server, f"/{status}", ImageError) == (said, 1)


def test_a_server_that_lets_nobody_in_may_do_so_another_day(web: Web, server: Server) -> None:
    """403 was as final as 404 once, and cost every image of a host that bounds what is fetched."""
    said = "the server answered with status 403"
    assert reason(web, server, "/403", PassingError) == (said, 1)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 520, 524])
def test_a_server_that_stays_busy(web: Web, server: Server, status: int) -> None:
    said = f"the server answered with status {status}, 4 times"
    assert reason(web, server, f"/{status}", PassingError) == (said, 4)


def test_pauses_grow_and_differ(web: Web, server: Server, slept: list[float]) -> None:
    assert fetched(web, server, "/twice") == (b"picture", 3)
    assert len(slept) == 2
    assert all(p <= s <= 2 * p for p, s in zip(web.pauses, slept, strict=False))
    for _ in range(3):
        reason(web, server, "/503", PassingError)
    assert len(set(slept)) == len(slept) == 11


def test_servers_say_when_to_come_again_within_reason(
    web: Web, server: Server, slept: list[float]
) -> None:
    assert fetched(web, server, "/wait") == (b"picture", 3)
    assert slept == [7.0, LONGEST_PAUSE]
    slept.clear()
    assert fetched(web, server, "/until") == (b"picture", 2)
    assert 10 < slept[0] <= 20


def test_a_server_that_says_nothing(web: Web, server: Server) -> None:
    said, _ = reason(replace(web, silence=0.3), server, "/silent", PassingError)
    assert said == "the server did not answer in time, 4 times"
    ends = time.monotonic() + 30
    while server.asked.count("/silent") < 4:  # it may hear of a request when we have given up
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_connection_that_breaks(web: Web, server: Server) -> None:
    assert reason(web, server, "/broken", PassingError) == ("the connection broke, 4 times", 4)
    assert fetched(web, server, "/broken-once") == (b"picture", 2)


def test_nobody_there(web: Web) -> None:
    with serving(answer) as gone:
        address = f"{gone.url}/good"
    with pytest.raises(PassingError, match=r"^the server cannot be reached, 4 times$"):
        web.read(address)


def test_bodies_are_bounded(web: Web, hurried: Web, server: Server) -> None:
    web.read(f"{server.url}/good")  # what httpx itself needs
    tracemalloc.start()
    said = reason(web, server, "/endless", ImageError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said == ("larger than 1,048,576 bytes: expected an image", 1)
    assert peak < 8 << 20
    assert reason(hurried, server, "/drip", PassingError) == ("the image did not come in time", 1)


def test_redirects_are_bounded(web: Web, server: Server) -> None:
    assert reason(web, server, "/loop", ImageError) == ("redirected more than 5 times", 6)
    said = "redirected to something else than http or https"
    assert reason(web, server, "/local", ImageError) == (said, 1)


def test_the_body_of_a_redirect_is_not_read(web: Web, server: Server) -> None:
    web.read(f"{server.url}/good")  # what httpx itself needs
    tracemalloc.start()
    assert web.read(f"{server.url}/moved-endless") == b"picture"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20  # all of it is 64 MB


@pytest.mark.parametrize("path", ["/slowly", "/headers"])
def test_redirects_and_headers_come_in_time_or_not_at_all(
    hurried: Web, server: Server, path: str
) -> None:
    said, asked = reason(hurried, server, path, PassingError)
    assert said == "the image did not come in time"
    assert asked <= 3


@pytest.mark.parametrize("host", ["a..b", ".a", "a" * 64, "xn--"])
def test_hosts_that_cannot_be_fail_by_themselves(web: Web, server: Server, host: str) -> None:
    said = "not an address that can be fetched"
    with pytest.raises(ImageError, match=f"^{said}$") as caught:
        web.read(f"http://{host}/1.jpg")
    assert type(caught.value) is ImageError
    assert reason(web, server, f"/to?http://{host}/1.jpg", ImageError) == (said, 1)


def test_no_cookie_is_kept(web: Web, server: Server) -> None:
    """All would be, of every host, and looked through for each request."""
    assert [web.read(f"{server.url}/cookie") for _ in range(2)] == [b"None", b"None"]


def test_logs_hold_no_secret(web: Web, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    address = f"{server.url}/good?token=hush".replace("http://", "http://me:hush@")
    assert web.read(address) == b"picture"
    assert f"{server.url}/good" in caplog.text
    assert "hush" not in caplog.text


def test_a_copy_fetches(server: Server) -> None:
    first = Web(silence=19)
    assert first.read(f"{server.url}/good") == b"picture"
    copy = pickle.loads(pickle.dumps(first))
    assert copy == first
    assert copy.read(f"{server.url}/good") == b"picture"


def test_a_list(tmp_path: Path, web: Web, server: Server) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"\ufeff# mine\n{server.url}/good?a=1\n\n  {server.url}/404 \r\n")
    source = Addresses(path, web)
    keys = [item.key for item in source]
    assert list(source) == [Item(f"{server.url}/good?a=1"), Item(f"{server.url}/404")]
    assert source.class_names() == ()
    assert source.read(keys[0]) == b"picture"
    assert source.stamp(keys[0]) == source.stamp(keys[1]) != MISSING
    assert server.asked.count("/good?a=1") == 1, "a look is no request"


@pytest.mark.parametrize(
    "line",
    [
        "cat.jpg",
        "ftp://host/1.jpg",
        "https://",
        "http://host:port/1.jpg",
        "https://a b/1.jpg",
        "http://[::1/1.jpg",
        "file:///etc/passwd",
    ],
)
def test_lines_that_are_no_address(tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"https://host/1.jpg\n{line}\n")
    with pytest.raises(SourceError, match=r"line 2 of .* expected an address such as"):
        Addresses(path).class_names()


def test_a_list_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# none\n")
    with pytest.raises(SourceError, match="has no addresses: expected one a line"):
        list(Addresses(tmp_path / "list.txt"))
    (tmp_path / "list.txt").write_bytes(b"https://host/caf\xe9.jpg\n")
    with pytest.raises(SourceError, match=r"line 1 of .* not UTF-8 text: save the list"):
        list(Addresses(tmp_path / "list.txt"))
    with pytest.raises(SourceError, match=r"cannot read the list .*No such file"):
        list(Addresses(tmp_path / "none.txt"))


def test_a_table_of_addresses_and_files(tmp_path: Path, web: Web, server: Server) -> None:
    (tmp_path / "here.jpg").write_bytes(b"file")
    (tmp_path / "t.csv").write_text(f"path,label\n{server.url}//good?x=//y,cat\nhere.jpg,dog\n")
    table = Table(tmp_path / "t.csv", label_column="label", web=web)
    first, second = table
    assert first == Item(f"{server.url}//good?x=//y", "cat"), "an address is left as it is"
    assert table.read(second.key) == b"file"
    assert table.read(first.key) == b"picture"
    assert table.stamp(first.key) != MISSING
    pattern = Table(tmp_path / "t.csv", path_pattern=f"{server.url}/{{}}", web=web)
    assert [item.key for item in pattern][1] == f"{server.url}/here.jpg"
    (tmp_path / "t.csv").write_text("path,label\nhttps://,\n")
    with pytest.raises(SourceError, match=r"line 2 of .* expected an address"):
        list(table)


def test_long_lists_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    lines = (f"https://host/{'x' * 60}/{number}.jpg\n" for number in range(50_000))
    path.write_text("".join(lines))
    tracemalloc.start()
    count = sum(1 for _ in Addresses(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 50_000
    assert peak < 1_000_000  # the addresses are 4,000,000 characters


def test_addresses() -> None:
    assert is_address("HTTPS://host/1.jpg")
    assert not is_address("http/1.jpg")
