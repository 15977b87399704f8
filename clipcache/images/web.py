"""Images on the web: fetched by their addresses, with patience that has an end.

Servers are strangers. Each wait, body, redirect and number of tries is bounded, and what went wrong
becomes a reason that is the same in every run.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

from clipcache.errors import ImageError
from clipcache.images.base import PassingError, Stamp
from clipcache.images.roots import Place
from clipcache.images.rows import fault

UNCHANGING = Stamp(0, 0)
"""The stamp of every address: no request is made to learn that an image is still the same."""

BUSY = (408, 425, 429, *range(500, 600))
"""Statuses of a server that may well answer in a moment."""
REFUSED = 403
"""The status by which many servers bound how much is fetched: another day they may let us in."""
LONGEST_PAUSE = 30.0
"""Seconds that a server may have us wait between two tries."""
REDIRECTS = 5


@dataclass(frozen=True)
class Web:
    """Fetches images; any thread may, and a copy in another process connects anew."""

    silence: float = 20.0
    """Seconds to wait for a connection, and for the next bytes."""
    longest: float = 60.0
    """Seconds that an image may take in all, redirects among them."""
    largest: int = 128 << 20
    """Bytes of an image; no format that is decoded needs more for an image of a usual size."""
    pauses: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Seconds between tries, each lengthened by chance to at most twice."""
    sleep: Callable[[float], None] = time.sleep

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state.pop("_client", None)
        return state

    def stamp(self, address: str) -> Stamp:
        """Return UNCHANGING: an image that is done is never fetched again."""
        return UNCHANGING

    def read(self, address: str) -> bytes:
        """Return what is at the address.

        Raises PassingError where another try may go better, ImageError where it would not.
        """
        for pause in self.pauses:
            try:
                return self._fetch(address)
            except _Again as again:
                # Not all at the same time: many threads may have been refused together.
                self.sleep(max(pause * random.uniform(1, 2), again.wait))
        try:
            return self._fetch(address)
        except _Again as again:
            raise PassingError(f"{again}, {len(self.pauses) + 1} times") from None

    def _fetch(self, address: str) -> bytes:
        """Try once; _Again where it may go better soon."""
        with _told():
            request = self._client.build_request("GET", address)  # the first makes the client too
            end = time.monotonic() + self.longest
            for _ in range(1 + REDIRECTS):
                # Of a redirect only the headers are read: its body may have no end.
                with closing(self._client.send(request, stream=True)) as response:
                    _check_time(end)  # of headers that drip: before all are here, nobody can look
                    request = response.next_request
                    if request is None:
                        _check_status(response)
                        return self._body(response, end)
        raise ImageError(f"redirected more than {REDIRECTS} times")

    def _body(self, response: Any, end: float) -> bytes:
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > self.largest:
                raise ImageError(f"larger than {self.largest:,} bytes: expected an image")
            _check_time(end)
        return bytes(body)

    @cached_property
    def _client(self) -> Any:
        import httpx

        logging.getLogger("httpx").addFilter(hide_secrets)
        return httpx.Client(
            timeout=self.silence,
            # Those of millions of hosts would be kept, and looked through for each request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            headers={"User-Agent": "clipcache", "Accept": "image/*,*/*;q=0.5"},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )


class _Again(Exception):
    """A try has failed and the next may not; `wait` are seconds that the server asked for."""

    def __init__(self, said: str, wait: float = 0.0) -> None:
        super().__init__(said)
        self.wait = wait


@contextmanager
def _told() -> Iterator[None]:
    """Turn what httpx raises into reasons without addresses, numbers of errors or times."""
    import httpx

    try:
        yield
    except httpx.UnsupportedProtocol:
        raise ImageError("redirected to something else than http or https") from None
    except (httpx.InvalidURL, UnicodeError):  # the latter for names of hosts that cannot be
        raise ImageError("not an address that can be fetched") from None
    except httpx.DecodingError:
        raise ImageError("the server's compression is damaged") from None
    except httpx.TimeoutException:
        raise _Again("the server did not answer in time") from None
    except httpx.ConnectError:
        raise _Again("the server cannot be reached") from None
    except httpx.HTTPError:
        raise _Again("the connection broke") from None


def _check_time(end: float) -> None:
    if time.monotonic() > end:
        raise PassingError("the image did not come in time")


def _check_status(response: Any) -> None:
    status = response.status_code
    said = f"the server answered with status {status}"
    if status in BUSY:
        raise _Again(said, _asked_to_wait(response))
    if status != 200:
        raise (PassingError if status == REFUSED else ImageError)(said)


def is_address(text: str) -> bool:
    """Tell whether the text is to be fetched from the web.

    >>> is_address("https://host/cat.jpg"), is_address("cat.jpg")
    (True, False)
    """
    return text[:8].lower().startswith(("http://", "https://"))


def check_address(path: Place, line: int, text: str) -> str:
    """Return an address from a line of a file; SourceError where it is none."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no number
        whole = is_address(text) and parts.hostname and text.isprintable() and " " not in text
    except ValueError:
        whole = None
    if not whole:
        raise fault(
            path, line, f"has {text[:80]!r}: expected an address such as https://host/1.jpg"
        )
    return text


def hide_secrets(record: logging.LogRecord) -> bool:
    """Take names, passwords and queries, where tokens are, out of the addresses that httpx logs."""
    if isinstance(record.args, tuple):
        record.args = tuple(_plain(part) for part in record.args)
    return True


def _plain(part: Any) -> Any:
    if not hasattr(part, "copy_with"):  # no address of httpx
        return part
    return part.copy_with(query=None, fragment=None, username=None, password=None)


def _asked_to_wait(response: Any) -> float:
    """Return the seconds of Retry-After, within reason; 0 where there is none."""
    said = response.headers.get("retry-after", "").strip()
    if said.isdecimal():
        return min(float(said), LONGEST_PAUSE)
    try:
        seconds = parsedate_to_datetime(said).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE)
