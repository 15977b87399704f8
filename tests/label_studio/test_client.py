"""What the client does when a server is busy, away, or not the one that was meant."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from clipcache.errors import LabelStudioError
from clipcache.label_studio.client import LabelStudio, checked_url
from clipcache.label_studio.token import Token
from tests.label_studio.conftest import free_port
from tests.label_studio.scripted import Answerer, Asked, Said, scripted

TOKEN = Token("0123456789abcdef")
PROJECT = {"id": 7, "title": "photos", "label_config": "<View/>"}


def client(url: str, pauses: list[float]) -> LabelStudio:
    return LabelStudio(url, TOKEN, sleep=pauses.append)


@pytest.mark.parametrize("trouble", [429, 502, 503, None])
def test_what_may_be_asked_twice_is_asked_again(trouble: int | None) -> None:
    answers = [Said(trouble), Said(trouble), Said(200, PROJECT)]
    pauses: list[float] = []
    with scripted(lambda _: answers.pop(0)) as server, client(server.url, pauses) as studio:
        assert studio.project(7) == PROJECT
        assert pauses == [0.5, 1.0]


def test_a_server_says_how_long_to_wait_but_not_for_ever() -> None:
    answers = [Said(429, headers={"Retry-After": wait}) for wait in ("7", "4000", "soon")]
    pauses: list[float] = []
    answers.append(Said(200, PROJECT))
    with scripted(lambda _: answers.pop(0)) as server, client(server.url, pauses) as studio:
        studio.project(7)
    assert pauses == [7.0, 30.0, 2.0]


def test_in_the_end_it_gives_up() -> None:
    pauses: list[float] = []
    with scripted(lambda _: Said(503)) as server, client(server.url, pauses) as studio:
        with pytest.raises(LabelStudioError, match=r"is busy \(status 503\): run the same"):
            studio.users()
        assert len(server.asked) == 1 + len(pauses) == 5


@pytest.mark.parametrize("trouble", [429, 503, None])
def test_what_makes_something_is_never_sent_twice(trouble: int | None) -> None:
    pauses: list[float] = []
    with scripted(lambda _: Said(trouble)) as server, client(server.url, pauses) as studio:
        with pytest.raises(LabelStudioError):
            studio.add_tasks(1, [{"row": 1}])
        assert len(server.asked) == 1
        assert pauses == []


def test_nobody_there() -> None:
    with (
        client(f"http://127.0.0.1:{free_port()}", []) as studio,
        pytest.raises(LabelStudioError, match=r"cannot be reached .*is Label Studio running"),
    ):
        studio.users()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Said(200, "<html>a page</html>"), "not JSON; is --url the address of a Label Studio"),
        (Said(302, headers={"Location": "https://other.example/"}), "on to https://other.example/"),
        (Said(404, {"detail": "Not found."}), "has no project 5, or the token's owner may not"),
        (Said(401, {"detail": "Invalid token."}), "does not know the token in LABEL_STUDIO_API"),
        (
            Said(401, {"detail": "legacy token authentication has been disabled for this org"}),
            "no longer takes legacy tokens: give LABEL_STUDIO_API_KEY a personal access token",
        ),
        (
            Said(403, {"detail": "URL resolves to a reserved network address (block: 127.0.0.0)"}),
            "SSRF_PROTECTION_ENABLED=false .webhooks. and ML_BLOCK_LOCAL_IP=false",
        ),
        (Said(500, "<html>", {"Content-Type": "text/html"}), "with status 500: a page of HTML$"),
        (Said(400, {"title": ["too\nlong"] * 500}), "with status 400: .{250,300}$"),
    ],
)
def test_each_refusal_says_in_one_line_what_to_do(said: Said, words: str) -> None:
    with scripted(lambda _: said) as server, client(server.url, []) as studio:
        with pytest.raises(LabelStudioError, match=words) as caught:
            studio.project(5)
        assert "\n" not in str(caught.value)


CALLS: dict[str, Callable[[LabelStudio], Any]] = {
    "users": lambda studio: studio.users(),
    "projects": lambda studio: studio.projects("photos"),
    "project": lambda studio: studio.project(1),
    "add_project": lambda studio: studio.add_project({}),
    "tasks": lambda studio: list(studio.tasks(1)),
    "predictions": lambda studio: studio.predictions(1),
    "webhooks": lambda studio: studio.webhooks(1),
    "backends": lambda studio: studio.backends(1),
}


@pytest.mark.parametrize(
    "body", [{}, "x", 5, None, {"results": None}, {"results": [5]}, {"tasks": 1}, [{"id": 1}], [5]]
)
@pytest.mark.parametrize("name", CALLS)
def test_other_json_than_that_of_a_label_studio_is_told(body: Any, name: str) -> None:
    with (
        scripted(lambda _: Said(200, json.dumps(body))) as server,
        client(server.url, []) as studio,
    ):
        with pytest.raises(LabelStudioError, match="other JSON than a Label Studio") as caught:
            CALLS[name](studio)
        assert "\n" not in str(caught.value)


def test_lists_of_other_things_than_objects_are_told() -> None:
    with scripted(lambda _: Said(200, [5])) as server, client(server.url, []) as studio:
        for call in (studio.export, studio.views):
            with pytest.raises(LabelStudioError, match="other JSON than a Label Studio"):
                call(1)


@pytest.mark.parametrize("ids", [None, 5])
def test_ids_that_are_no_list_are_told(ids: Any) -> None:
    with (
        scripted(lambda _: Said(201, {"task_ids": ids})) as server,
        client(server.url, []) as studio,
        pytest.raises(LabelStudioError, match="did not say which tasks it made of 1"),
    ):
        studio.add_tasks(1, [{"row": 1}])


def pages_of(tasks: list[int]) -> Answerer:
    def answer(asked: Asked) -> Said:
        query = dict(part.split("=") for part in asked.path.partition("?")[2].split("&"))
        start = (int(query["page"]) - 1) * int(query["page_size"])
        some = [{"id": i, "data": {}} for i in tasks[start : start + int(query["page_size"])]]
        return Said(200, {"tasks": some, "total": len(tasks)})

    return answer


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1200])
def test_all_pages_of_tasks_are_read(count: int) -> None:
    tasks = list(range(count))
    with scripted(pages_of(tasks)) as server, client(server.url, []) as studio:
        assert [task["id"] for task in studio.tasks(1)] == tasks


def test_many_tasks_are_sent_in_parts_and_their_ids_come_back_in_order() -> None:
    def answer(asked: Asked) -> Said:
        return Said(201, {"task_ids": [task["data"]["row"] + 1000 for task in asked.body]})

    with scripted(answer) as server, client(server.url, []) as studio:
        assert studio.add_tasks(1, [{"row": row} for row in range(1100)]) == [*range(1000, 2100)]
        assert [len(asked.body) for asked in server.asked] == [500, 500, 100]


def test_tasks_that_are_made_later_are_told() -> None:
    with (
        scripted(lambda _: Said(201, {"import": 5})) as server,
        client(server.url, []) as studio,
        pytest.raises(LabelStudioError, match="did not say which tasks it made of 1"),
    ):
        studio.add_tasks(1, [{"row": 1}])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8080", "expected something like http"),
        ("ftp://host/", "expected something like http"),
        ("http://", "expected something like http"),
        ("http://host:port/", "is no address"),
        ("http://host/?a=b", "expected something like http"),
        ("http://me:secret@host/", "holds a name or password for host: leave it out"),
        ("", "expected something like http"),
        ("http://a..b", "is no address"),
        (f"http://{64 * 'a'}.example", "is no address"),
        ("http://xn--a", "is no address"),
        ("http://exa\x01mple", "is no address"),
        ("http://host/\x7f", "is no address"),
    ],
)
def test_what_is_no_address(url: str, words: str) -> None:
    with pytest.raises(LabelStudioError, match=words) as caught:
        checked_url(url)
    assert "secret" not in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_address_may_have_a_path() -> None:
    def answer(asked: Asked) -> Said:
        return Said(200, {**PROJECT, "path": asked.path})

    with scripted(answer) as server, client(f"{server.url}/studio/", []) as studio:
        found: Any = studio.project(3)
        assert found["path"] == "/studio/api/projects/3/"
