import signal
import socket
from collections.abc import Callable

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from clipcache.errors import RunError
from clipcache.web.security import Gate, cookie_name, hosts_of
from clipcache.web.server import address_of, listen
from clipcache.web.token import read_token
from tests.web.conftest import Server


def test_any_free_port_is_found_and_said() -> None:
    with listen("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert port > 0
        assert address_of(listening, "abc") == f"http://127.0.0.1:{port}/?token=abc"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "0.0.0.0", "by name"])
def test_the_address_that_is_printed_is_one_that_is_answered(host: str) -> None:
    host = socket.gethostname() if host == "by name" else host
    with listen(host, 0) as listening:
        base = address_of(listening, "t").split("?")[0]

    async def yes(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("yes")(scope, receive, send)

    gate = Gate(yes, "t", hosts_of(host), lambda _request, code: PlainTextResponse("", code))
    for address in (base, f"http://{host}/"):
        visitor = TestClient(gate, base_url=address, cookies={cookie_name("t"): "t"})
        assert visitor.get("/").text == "yes", address


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_a_number_of_ipv6_goes_into_brackets() -> None:
    with listen("::1", 0) as listening:
        assert address_of(listening, "abc").startswith("http://[::1]:")


def test_a_port_that_is_taken_is_one_line() -> None:
    with listen("127.0.0.1", 0) as first:
        with pytest.raises(RunError, match=r"already in use.*--port") as caught:
            listen("127.0.0.1", first.getsockname()[1])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_of_elsewhere_is_told(host: str) -> None:
    with pytest.raises(RunError, match="cannot listen on"):
        listen(host, 0)


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_that_is_none_is_told(port: int) -> None:
    with pytest.raises(RunError, match="cannot listen on"):
        listen("127.0.0.1", port)


def test_it_goes_down_in_good_order(make_server: Callable[..., Server]) -> None:
    server = make_server()
    idle = socket.create_connection(("127.0.0.1", server.port))
    with server.person("Anna") as person:
        person.get("/")
        assert server.end(signal.SIGTERM) == 0
        with pytest.raises(httpx.HTTPError):
            person.get("/")
    said = server.said.read_text()
    assert server.url in said
    assert said.count(read_token(server.folder)) == 1, "nowhere but in the address to open"
    assert "Traceback" not in said
    idle.close()
