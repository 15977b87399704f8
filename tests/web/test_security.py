"""The gate alone, around an app that says yes to everything."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from clipcache.errors import RunError
from clipcache.web.body import LARGEST, BoundedBody
from clipcache.web.headers import HEADERS, SafeHeaders
from clipcache.web.security import Gate, cookie_name, hosts_of, origin_of

TOKEN = "t" * 43
HERE = "http://127.0.0.1:8000"
SAME = {"Origin": HERE}
PUBLIC = "https://label.example.org"


async def yes(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"yes {len(await request.body())}")


def client(
    address: str = "127.0.0.1",
    base: str = HERE,
    cookie: str | None = TOKEN,
    origin: str | None = None,
) -> TestClient:
    inner = Starlette(
        routes=[Route("/{path:path}", yes, methods=["GET", "POST", "PUT", "DELETE"])],
        middleware=[Middleware(BoundedBody)],
    )

    def refuse(_request: Request, status: int) -> PlainTextResponse:
        return PlainTextResponse("refused", status)

    app = SafeHeaders(Gate(inner, TOKEN, hosts_of(address), refuse, origin))
    cookies = {cookie_name(TOKEN): cookie} if cookie is not None else {}
    return TestClient(app, base_url=base, cookies=cookies, follow_redirects=False)


def test_the_address_with_the_token_becomes_a_cookie_and_is_left() -> None:
    answer = client(cookie=None).get("/", params={"token": TOKEN})
    assert answer.status_code == 303
    assert TOKEN not in answer.headers["location"]
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    visitor = client(cookie=None)
    visitor.get("/", params={"token": TOKEN})
    assert visitor.get("/").text == "yes 0"


@pytest.mark.parametrize("wrong", ["", "t", TOKEN + "t", TOKEN[:-1] + "x", "ü", "\udcff", "%00"])
def test_a_wrong_token_is_refused_and_no_cookie_given(wrong: str) -> None:
    answer = client(cookie=None).get("/?token=" + wrong.encode("utf-8", "replace").decode())
    assert (answer.status_code, answer.text) == (403, "refused")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("cookie", [None, "", "x", TOKEN[:-1], TOKEN + "x", TOKEN.upper()])
@pytest.mark.parametrize("path", ["/", "/deck", "/images/1/256", "/staticky", "/welcome/x", "/no"])
def test_without_the_cookie_nothing_is_shown(cookie: str | None, path: str) -> None:
    answer = client(cookie=cookie).get(path)
    assert (answer.status_code, answer.text) == (401, "refused")


def test_the_token_counts_only_at_the_door() -> None:
    assert client(cookie=None).get("/deck", params={"token": TOKEN}).status_code == 401
    assert client(cookie=None).post("/", params={"token": TOKEN}, headers=SAME).status_code == 401


def test_static_files_and_the_welcome_need_no_cookie_but_cannot_be_posted_to() -> None:
    for path in ("/static/page.css", "/welcome"):
        assert client(cookie=None).get(path).status_code == 200
        assert client(cookie=None).post(path, headers=SAME).status_code == 401


CROSS = [
    {},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "null"},
    {"Origin": "http://[::1"},
    {"Origin": "http://127.0.0.1:8000/"},
    {"Origin": "http://127.0.0.1:8000.evil.example"},
    {"Origin": "file://127.0.0.1:8000"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": HERE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("headers", CROSS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_change_from_elsewhere_is_refused(headers: dict[str, str], method: str) -> None:
    answer = client().request(method, "/answer", headers=headers)
    assert answer.status_code == 403
    assert answer.headers.items() >= {k.lower(): v for k, v in HEADERS.items()}.items()


@pytest.mark.parametrize(
    "headers", [SAME, {"Sec-Fetch-Site": "same-origin"}, SAME | {"Sec-Fetch-Site": "same-origin"}]
)
def test_a_change_from_our_own_page_is_passed_on(headers: dict[str, str]) -> None:
    assert client().post("/answer", headers=headers, content=b"row=1").text == "yes 5"


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_may_lead_here_but_not_read(site: str) -> None:
    """A page on another port of this host has the cookie, as the browser sees it."""
    for dest in ("empty", "image", "script", "iframe"):
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": dest}
        assert client().get("/deck", headers=headers).status_code == 403
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Dest": "document"}
    assert client().get("/", headers=link).status_code == 200
    own = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "image"}
    assert client().get("/deck", headers=own).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "127.0.0.1@evil.example",
        "user@127.0.0.1",
        "127.0.0.1/static/",
        "127.0.0.1:80:80",
        "127.0.0.1:port",
        "192.168.0.7",
        "[::1",
        "",
    ],
)
def test_a_name_that_is_not_ours_is_refused_even_for_public_files(host: str) -> None:
    for path in ("/", "/static/page.css", "/welcome", f"/?token={TOKEN}"):
        assert client().get(path, headers={"Host": host}).status_code == 421


def test_two_names_are_none() -> None:
    twice = [("Host", "127.0.0.1"), ("Host", "evil.example")]
    for hosts in (twice, twice[::-1]):
        assert client().get("/", headers=hosts).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9000", "LOCALHOST", "[::1]:8000"])
def test_tunnels_may_change_the_port(host: str) -> None:
    assert client().get("/", headers={"Host": host}).status_code == 200
    same = {"Host": host, "Origin": f"http://{host}"}
    assert client().post("/answer", headers=same).status_code == 200


def test_on_every_address_any_number_is_ours_but_no_strange_name() -> None:
    for host, status in {"192.168.0.7:8000": 200, "[fe80::1]": 200, "evil.example": 421}.items():
        assert client("0.0.0.0").get("/", headers={"Host": host}).status_code == status
    assert client("192.168.0.7").get("/", headers={"Host": "192.168.0.8"}).status_code == 421
    assert client("192.168.0.7").get("/", headers={"Host": "192.168.0.7"}).status_code == 200


@pytest.mark.parametrize("host", ["label.example.org", "LABEL.example.org:443", "127.0.0.1:8600"])
def test_behind_a_proxy_that_keeps_the_host_or_says_ours(host: str) -> None:
    visitor = client(origin=PUBLIC)
    assert visitor.get("/", headers={"Host": host}).status_code == 200
    seen = {"Host": host, "Origin": PUBLIC, "Sec-Fetch-Site": "same-origin"}
    assert visitor.post("/answer", headers=seen).text == "yes 0"
    for other in ("https://evil.example", f"{PUBLIC}:444", f"{PUBLIC}.evil.example", "null"):
        assert visitor.post("/answer", headers=seen | {"Origin": other}).status_code == 403
    assert (
        visitor.post("/answer", headers=seen | {"Sec-Fetch-Site": "cross-site"}).status_code == 403
    )


@pytest.mark.parametrize("headers", CROSS)
def test_a_public_address_opens_no_other_door(headers: dict[str, str]) -> None:
    visitor = client(origin=PUBLIC)
    assert visitor.post("/answer", headers=headers).status_code == 403
    assert visitor.post("/answer", headers=SAME).status_code == 200
    for host in ("evil.example", "label.example.org.evil.example", "example.org"):
        assert visitor.get("/", headers={"Host": host}).status_code == 421
    assert client(cookie=None, origin=PUBLIC).get("/").status_code == 401
    assert client().get("/", headers={"Host": "label.example.org"}).status_code == 421
    assert client().post("/answer", headers={"Origin": PUBLIC}).status_code == 403


@pytest.mark.parametrize(
    ("origin", "secure"), [(PUBLIC, True), ("http://label.example.org", False), (None, False)]
)
def test_where_browsers_come_encrypted_the_cookie_is_never_sent_otherwise(
    origin: str | None, secure: bool
) -> None:
    answer = client(cookie=None, origin=origin).get("/", params={"token": TOKEN})
    assert ("; secure" in answer.headers["set-cookie"].lower()) == secure


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        (PUBLIC, PUBLIC),
        ("HTTPS://Label.Example.org/", PUBLIC),
        (f"{PUBLIC}:443", PUBLIC),
        (f"{PUBLIC}:8443/", f"{PUBLIC}:8443"),
        ("http://192.168.0.7:80", "http://192.168.0.7"),
        ("http://192.168.0.7:443", "http://192.168.0.7:443"),
    ],
)
def test_an_origin_is_as_browsers_say_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "label.example.org",
        "ftp://label.example.org",
        f"{PUBLIC}/labels",
        f"{PUBLIC}?x",
        f"{PUBLIC}:port",
        f"{PUBLIC}:",
        f"{PUBLIC}\n",
        "https://anna:pass@label.example.org",
        "https://läbel.example.org",
        "https://",
    ],
)
def test_an_address_that_is_no_origin_is_told(url: str) -> None:
    with pytest.raises(RunError, match=r"--public-url .* is not the address of a server"):
        origin_of(url)


def test_each_run_has_a_cookie_of_its_own() -> None:
    assert cookie_name(TOKEN) != cookie_name("s" * 43)
    assert TOKEN not in cookie_name(TOKEN)


def test_every_answer_carries_the_headers() -> None:
    answers = [
        client().get("/"),
        client().get("/", headers={"Host": "evil.example"}),
        client(cookie=None).get("/"),
        client(cookie=None).get("/", params={"token": TOKEN}),
        client().post("/", headers=SAME, content=b"x" * (LARGEST + 1)),
    ]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers[name] == value
        assert answer.headers["Cache-Control"] == "no-store"
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(("size", "status"), [(0, 200), (LARGEST, 200), (LARGEST + 1, 413)])
def test_a_body_is_bounded_whether_or_not_it_says_its_size(size: int, status: int) -> None:
    whole = client().post("/", headers=SAME, content=b"x" * size)
    assert whole.status_code == status

    def pieces() -> Iterator[bytes]:
        for start in range(0, size, 1000):
            yield b"x" * min(1000, size - start)

    assert client().post("/", headers=SAME, content=pieces()).status_code == status
