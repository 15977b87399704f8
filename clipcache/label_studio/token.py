"""Who we are to a Label Studio: its two kinds of token, and how each is sent.

A personal access token is a JWT that is good for nothing but to ask for access tokens of five
minutes; a legacy token is sent as it is. Neither is ever shown, in messages as little as in a repr.
"""

import base64
import binascii
import json
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from clipcache.errors import LabelStudioError

VARIABLE = "LABEL_STUDIO_API_KEY"
WHERE = "copy one from Account & Settings of your Label Studio"
EARLY = 30
"""Seconds before its end in which an access token is renewed rather than used."""


@dataclass(frozen=True)
class Token:
    """A token of either kind."""

    value: str = field(repr=False)

    @property
    def personal(self) -> bool:
        """Whether it has the form of a JWT, as personal access tokens have."""
        return expiry(self.value) is not None


def read_token(file: Path | None = None, environment: Mapping[str, str] = os.environ) -> Token:
    """Return the token in a file, or without one, in the environment variable.

    Raises LabelStudioError where there is none, or it is no single word.
    """
    place = str(file) if file else f"the environment variable {VARIABLE}"
    if file:
        try:
            value = file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise LabelStudioError(f"no token can be read from {file}: {error}") from error
    else:
        value = environment.get(VARIABLE, "").strip()
    if not value:
        raise LabelStudioError(f"{place} holds no token: {WHERE}")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise LabelStudioError(f"{place} holds more than one word, so no token: {WHERE}")
    return Token(value)


def expiry(token: str) -> float | None:
    """Return the time in seconds since 1970 at which a JWT ends; None where it is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    middle = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        claims = json.loads(base64.urlsafe_b64decode(middle))
        return float(claims["exp"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        return None


class TokenAuth(httpx.Auth):
    """Puts a token on each request, and gets a new access token when one is needed."""

    requires_response_body = True

    def __init__(self, token: Token, refresh_url: str) -> None:
        self._token = token
        self._refresh_url = refresh_url
        self._access = ""

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request; where its access token is no longer taken, once more with a new one."""
        if not self._token.personal:
            request.headers["Authorization"] = f"Token {self._token.value}"
            yield request
            return
        fresh = (expiry(self._access) or 0.0) < time.time() + EARLY
        if fresh:
            self._renew((yield self._refreshing()))
        request.headers["Authorization"] = f"Bearer {self._access}"
        response = yield request
        if response.status_code == 401 and not fresh:
            self._renew((yield self._refreshing()))
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request

    def clean(self, text: str) -> str:
        """Return a text without our tokens, whoever put them there."""
        for secret in (self._token.value, self._access):
            text = text.replace(secret, "***") if secret else text
        return text

    def _refreshing(self) -> httpx.Request:
        return httpx.Request("POST", self._refresh_url, json={"refresh": self._token.value})

    def _renew(self, response: httpx.Response) -> None:
        """Take the access token out of an answer; nothing of the answer is ever quoted."""
        if response.status_code in (401, 403):
            raise LabelStudioError(
                "Label Studio refuses the personal access token: it may have been revoked, or be "
                f"of another server; {WHERE}"
            )
        try:
            access = response.json()["access"]
        except (ValueError, KeyError, TypeError):
            access = None
        if response.status_code != 200 or not isinstance(access, str):
            raise LabelStudioError(
                f"{self._refresh_url} gave no access token (status {response.status_code}): "
                "is --url the address of a Label Studio?"
            )
        self._access = access
