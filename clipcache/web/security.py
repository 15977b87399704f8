"""Who may come in: the right host, a token, and for changes the same origin.

The address that is printed holds the token. Opened once, it becomes a cookie that scripts cannot
read and other sites cannot send, and the address bar is left without it.
"""

import ipaddress
import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from clipcache.errors import RunError
from clipcache.web.token import public_id

SAFE_METHODS = ("GET", "HEAD")
YEAR = 365 * 24 * 3600
ADDRESS = re.compile(r"(https?)://([a-z0-9._-]+)(:[1-9][0-9]*)?/?")
USUAL_PORTS = {"http": ":80", "https": ":443"}
"""Ports that browsers do not say."""
EVERY_ADDRESS = ("0.0.0.0", "::")


def hosts_of(address: str) -> frozenset[str]:
    """Return the names under which a server that listens on `address` may be called.

    A page of another site can make its own name point here (DNS rebinding), but cannot make the
    browser say another name than its own. Numbers cannot be rebound, so "*" stands for any of them
    where the server listens on every address. Of a name, its numbers are taken as well: one of
    them is what is printed.
    """
    numbers = _numbers_of(address)
    if not numbers.isdisjoint(EVERY_ADDRESS):
        name = socket.gethostname().lower()
        return frozenset({"localhost", name, f"{name}.local", "*"})
    own = numbers | {address.lower()}
    if all(ipaddress.ip_address(number).is_loopback for number in numbers):
        return own | {"localhost", "127.0.0.1", "::1"}
    return own


def origin_of(url: str) -> str:
    """Return the origin of the address by which browsers reach us, as they say it.

    Raises RunError where it is none.

    >>> origin_of("https://Label.example.org:443/")
    'https://label.example.org'
    """
    found = ADDRESS.fullmatch(url.lower())
    if found is None:
        raise RunError(
            f"--public-url {url!r} is not the address of a server: expected something like "
            "https://label.example.org, with nothing behind the name but a port"
        )
    scheme, host, port = found.groups(default="")
    return f"{scheme}://{host}{'' if port == USUAL_PORTS[scheme] else port}"


@dataclass(frozen=True)
class Gate:
    """An ASGI app around another one that lets in only who may come in.

    `refuse` makes the page for a person who has no cookie, or a wrong token. `origin` is the one
    that browsers see where a proxy is between, which may say another host to us, or none.
    """

    app: ASGIApp
    token: str
    hosts: frozenset[str]
    refuse: Callable[[Request, int], Response]
    origin: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        refusal = self._refusal(request)
        await (refusal or self.app)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is not passed on."""
        if not self._host_known(request):
            return PlainTextResponse(
                "this server does not go by that name: use the address that it printed", 421
            )
        path = request.scope["path"]  # request.url is put together with what Host says
        if _is_public(path) and request.method in SAFE_METHODS:
            return None
        given = request.query_params.get("token")
        if given is not None and path == "/" and request.method == "GET":
            return self._exchange(request, given)
        cookie = request.cookies.get(cookie_name(self.token), "")
        if not _same(cookie, self.token):
            return self.refuse(request, 401)
        if request.method not in SAFE_METHODS and not _same_origin(request, self.origin):
            return PlainTextResponse("this did not come from our own page", 403)
        if request.method in SAFE_METHODS and _read_by_another_site(request):
            return PlainTextResponse("only our own pages may read this", 403)
        return None

    def _host_known(self, request: Request) -> bool:
        """Tell whether the request names this server; ports may differ, as tunnels change them."""
        said = request.headers.getlist("host")
        name = _name_of(said[0]) if len(said) == 1 else ""
        if self.origin and name == _name_of(self.origin.partition("//")[2]):
            return True
        return name in self.hosts or ("*" in self.hosts and _is_number(name))

    def _exchange(self, request: Request, given: str) -> Response:
        """Return the answer to an address with a token: a cookie, and the way on without it."""
        if not _same(given, self.token):
            return self.refuse(request, 403)
        # Not straight to "/": a Strict cookie is not sent on a redirect that began with a click on
        # another site, such as the mail that the address came in.
        response = RedirectResponse("/welcome", 303)
        remember(response, cookie_name(self.token), self.token, self.origin)
        return response


def remember(response: Response, name: str, value: str, origin: str | None) -> None:
    """Have the browser keep a cookie, and never send it unencrypted where the `origin` is not."""
    secure = (origin or "").startswith("https:")
    response.set_cookie(name, value, YEAR, httponly=True, samesite="strict", secure=secure)


def cookie_name(token: str) -> str:
    """Return the name of the cookie: one a run, for all ports of a host share their cookies."""
    return f"clipcache_{public_id(token)}"


def _is_public(path: str) -> bool:
    """Tell whether anybody may see it: what is the same in every installation."""
    return path == "/welcome" or path.startswith("/static/")


def _same(given: str, token: str) -> bool:
    """Compare in a time that says nothing of how much was right."""
    return secrets.compare_digest(given.encode(), token.encode())


def _same_origin(request: Request, public: str | None) -> bool:
    """Tell whether a change comes from a page of ours; a browser always says one or the other."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is None and origin is None:
        return False
    if site not in (None, "same-origin"):
        return False
    if origin is None:
        return True
    host = request.headers["host"]
    return origin in (f"http://{host}", f"https://{host}", public)


def _read_by_another_site(request: Request) -> bool:
    """Tell whether another site asks, such as one on another port; its links may lead here."""
    site = request.headers.get("sec-fetch-site", "none")
    opened = request.headers.get("sec-fetch-dest") == "document"
    return site not in ("same-origin", "none") and not opened


def _name_of(host: str) -> str:
    """Return the name or number in a Host header, in lower case; "" where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is no number
    except ValueError:
        return ""
    return parts.hostname or "" if parts.netloc == host and "@" not in host else ""


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _numbers_of(address: str) -> frozenset[str]:
    found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    return frozenset(str(place[0]) for *_, place in found)
