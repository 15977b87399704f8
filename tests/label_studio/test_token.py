"""Two kinds of token, both sent as they must be, and neither ever shown."""

import logging
from pathlib import Path

import pytest

from clipcache.errors import LabelStudioError
from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.token import VARIABLE, Token, read_token
from tests.label_studio.scripted import Asked, Said, jwt, scripted

LEGACY = "0123456789abcdef" * 2 + "01234567"
REFRESH = "/api/token/refresh/"


class Issuer:
    """Gives access tokens that last so long, and lets in who has one of `valid`."""

    def __init__(self, lasting: float = 3600) -> None:
        self.lasting = lasting
        self.issued = 0
        self.valid: set[str] = set()

    def __call__(self, asked: Asked) -> Said:
        if asked.path == REFRESH:
            self.issued += 1
            access = jwt(f"access{self.issued}", self.lasting)
            self.valid.add(f"Bearer {access}")
            return Said(200, {"access": access})
        if asked.authorization not in self.valid:
            return Said(401, {"detail": f"Given token not valid: {asked.authorization}"})
        return Said(200, [{"id": 1, "email": "a@example.org"}])


def test_a_legacy_token_is_sent_as_it_is() -> None:
    with scripted(lambda _: Said(200, [])) as server, LabelStudio(server.url, Token(LEGACY)) as ls:
        assert ls.users() == {}
        assert [asked.authorization for asked in server.asked] == [f"Token {LEGACY}"]


def test_a_personal_token_gets_an_access_token_which_is_used_until_near_its_end() -> None:
    personal, issuer = jwt("personal", 10**9), Issuer()
    with scripted(issuer) as server, LabelStudio(server.url, Token(personal)) as studio:
        for _ in range(3):
            assert studio.users() == {1: "a@example.org"}
        assert issuer.issued == 1
        assert server.calls(REFRESH)[0].body == {"refresh": personal}
        assert {a.authorization for a in server.calls("/api/users")} == issuer.valid
        assert all(personal not in asked.authorization for asked in server.asked)


def test_an_access_token_near_its_end_is_renewed_first() -> None:
    issuer = Issuer(lasting=10)
    with scripted(issuer) as server, LabelStudio(server.url, Token(jwt("p", 10**9))) as studio:
        studio.users()
        studio.users()
        assert issuer.issued == 2
        assert len(server.calls("/api/users")) == 2


def test_an_access_token_that_is_refused_is_renewed_once() -> None:
    issuer = Issuer()
    with scripted(issuer) as server, LabelStudio(server.url, Token(jwt("p", 10**9))) as studio:
        studio.users()
        issuer.valid.clear()
        assert studio.users() == {1: "a@example.org"}
        assert issuer.issued == 2
        assert len(server.calls("/api/users")) == 3


@pytest.mark.parametrize("token", [LEGACY, jwt("personal", 10**9)], ids=["legacy", "personal"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_no_token_is_in_a_message_a_log_or_a_repr(
    token: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where the server sends back all that it got."""
    caplog.set_level(logging.DEBUG)
    seen = {token}

    def echo(asked: Asked) -> Said:
        if asked.path == REFRESH:
            seen.add(jwt("access", 1000))
            return Said(200, {"access": max(seen - {token})})
        return Said(status, f"what is {asked.authorization}, {token}?")

    with scripted(echo) as server, LabelStudio(server.url, Token(token)) as studio:
        with pytest.raises(LabelStudioError) as caught:
            studio.project(1)
        shown = [str(caught.value), repr(caught.value), repr(studio), repr(Token(token))]
        shown += [repr(studio.__dict__), caplog.text]
        for secret in seen:
            assert all(secret not in text for text in shown)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(401, {"detail": "blacklisted"}), "refuses the personal access token"),
        (Said(404, "no"), "gave no access token .status 404"),
        (Said(200, "<html>"), "gave no access token .status 200"),
        (Said(200, {"access": 5}), "gave no access token"),
    ],
)
def test_a_token_that_cannot_be_refreshed(said: Said, words: str) -> None:
    personal = jwt("personal", 10**9)
    with scripted(lambda _: said) as server, LabelStudio(server.url, Token(personal)) as studio:
        with pytest.raises(LabelStudioError, match=words) as caught:
            studio.users()
        assert personal not in str(caught.value)


def test_a_token_comes_from_a_file_or_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"  {LEGACY}\n")
    assert read_token(file, {VARIABLE: "other"}).value == LEGACY
    assert read_token(None, {VARIABLE: LEGACY}).value == LEGACY
    for place, environment, words in [
        (None, {}, "variable LABEL_STUDIO_API_KEY holds no token"),
        (None, {VARIABLE: "two words"}, "more than one word"),
        (None, {VARIABLE: "two\x01words"}, "more than one word"),
        (tmp_path / "none", {}, "no token can be read from"),
    ]:
        with pytest.raises(LabelStudioError, match=words):
            read_token(place, environment)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(LabelStudioError, match="no token can be read from"):
        read_token(file)
