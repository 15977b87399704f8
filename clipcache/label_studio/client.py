"""A thin client of Label Studio's REST API: only the calls that we need, each error in one line."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from clipcache.errors import LabelStudioError
from clipcache.label_studio.token import VARIABLE, Token, TokenAuth

Json = dict[str, Any]
"""A JSON object."""

Fields = dict[str, type]
"""What an object must have, and of which type; `object` for any."""
USER: Fields = {"id": int, "email": str}
LISTED: Fields = {"id": int, "title": str}
PROJECT: Fields = {**LISTED, "label_config": str}
TASK: Fields = {"id": int, "data": dict}
PREDICTION: Fields = {"task": int, "model_version": object}
CONNECTED: Fields = {"id": int, "url": str}
"""A webhook, or an ML backend."""

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds between tries of a call that may be made twice."""
LONGEST_PAUSE = 30.0
"""Seconds that a server may ask us to wait."""
BUSY = (429, 502, 503, 504)
"""Statuses of a server that may well answer in a moment."""
TIMEOUT = httpx.Timeout(60.0, connect=10.0)
EXPORT_TIMEOUT = httpx.Timeout(600.0, connect=10.0)
"""A whole project is read and written as one answer."""
PAGE = 500
"""Tasks asked for at a time."""
AT_ONCE = 500
"""Tasks or predictions that are sent at a time."""
QUOTED = 300
"""Characters of an answer that are quoted in an error."""


class LabelStudio:
    """One server, spoken to with one token. A context manager; used by one thread at a time."""

    def __init__(
        self, url: str, token: Token, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Prepare to speak to the server at `url`; LabelStudioError where that is no address."""
        self.url = checked_url(url)
        self._auth = TokenAuth(token, f"{self.url}/api/token/refresh/")
        self._http = httpx.Client(base_url=self.url, auth=self._auth, timeout=TIMEOUT)
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"LabelStudio({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def users(self) -> dict[int, str]:
        """Return id -> email of everybody in the organisation."""
        return {user["id"]: user["email"] for user in self._objects("/api/users/", USER)}

    def projects(self, title: str) -> list[Json]:
        """Return the projects of exactly this title, the oldest first."""
        found: list[Json] = []
        query: Json = {"title": title, "page_size": 100, "page": 1}
        while True:
            answer = self._object("GET", "/api/projects/", {"results": list}, query=query)
            listed = self._checked(answer["results"], LISTED, "GET /api/projects/")
            found += [project for project in listed if project["title"] == title]
            if not answer.get("next"):
                return sorted(found, key=lambda project: int(project["id"]))
            query["page"] += 1

    def project(self, number: int) -> Json:
        """Return all settings of a project."""
        return self._object("GET", f"/api/projects/{number}/", PROJECT)

    def add_project(self, settings: Json) -> Json:
        """Make a project and return it."""
        return self._object("POST", "/api/projects/", PROJECT, json=settings)

    def change_project(self, number: int, settings: Json) -> None:
        """Change some settings of a project."""
        self._call("PATCH", f"/api/projects/{number}/", json=settings)

    def tasks(self, project: int) -> Iterator[Json]:
        """Yield id and data of every task of a project."""
        page, total, got = 1, 1, 0
        while got < total:
            query = {"project": project, "page": page, "page_size": PAGE, "fields": "task_only"}
            fields: Fields = {"tasks": list, "total": int}
            answer = self._object("GET", "/api/tasks/", fields, query=query)
            tasks = self._checked(answer["tasks"], TASK, "GET /api/tasks/")
            if not tasks:
                return
            yield from tasks
            page, total, got = page + 1, answer["total"], got + len(tasks)

    def add_tasks(self, project: int, data: list[Json]) -> list[int]:
        """Make a task of each piece of data; return their ids in the same order."""
        ids: list[int] = []
        for start in range(0, len(data), AT_ONCE):
            tasks = [{"data": each} for each in data[start : start + AT_ONCE]]
            path = f"/api/projects/{project}/import"
            answer = self._object("POST", path, {}, query={"return_task_ids": "true"}, json=tasks)
            made = answer.get("task_ids")
            if not isinstance(made, list) or len(made) != len(tasks):
                raise LabelStudioError(
                    f"{self.url} did not say which tasks it made of {len(tasks)} (an edition that "
                    "imports in the background?): wait a little and push again"
                )
            ids += made
        return ids

    def change_task(self, number: int, data: Json) -> None:
        """Replace the data of a task."""
        self._call("PATCH", f"/api/tasks/{number}/", json={"data": data})

    def predictions(self, project: int) -> list[Json]:
        """Return task, model_version and more of every prediction in a project."""
        return self._objects("/api/predictions/", PREDICTION, query={"project": project})

    def add_predictions(self, project: int, predictions: list[Json]) -> None:
        """Add predictions: task, model_version, score and result of each."""
        for start in range(0, len(predictions), AT_ONCE):
            path = f"/api/projects/{project}/import/predictions"
            self._call("POST", path, json=predictions[start : start + AT_ONCE])

    def versions(self, project: int) -> list[str]:
        """Return the model versions of which a project has predictions."""
        return list(self._object("GET", f"/api/projects/{project}/model-versions/", {}))

    def drop_version(self, project: int, version: str) -> None:
        """Delete all predictions of a model version."""
        path = f"/api/projects/{project}/model-versions/"
        self._call("DELETE", path, json={"model_version": version})

    def views(self, project: int) -> list[Json]:
        """Return the views (tabs) of a project's Data Manager."""
        return self._objects("/api/dm/views/", {}, query={"project": project})

    def add_view(self, project: int, data: Json) -> None:
        """Add a view to a project's Data Manager."""
        self._call("POST", "/api/dm/views/", json={"project": project, "data": data})

    def export(self, project: int) -> list[Json]:
        """Return every task of a project with its annotations, also those without any."""
        query = {"exportType": "JSON", "download_all_tasks": "true"}
        path = f"/api/projects/{project}/export"
        return self._objects(path, {}, query=query, timeout=EXPORT_TIMEOUT)

    def webhooks(self, project: int) -> list[Json]:
        """Return the webhooks of a project."""
        return self._objects("/api/webhooks/", CONNECTED, query={"project": project})

    def set_webhook(self, settings: Json, number: int | None) -> None:
        """Make a webhook, or change the one with this number."""
        self._set("/api/webhooks/", settings, number)

    def backends(self, project: int) -> list[Json]:
        """Return the ML backends of a project."""
        return self._objects("/api/ml/", CONNECTED, query={"project": project})

    def set_backend(self, settings: Json, number: int | None) -> None:
        """Connect an ML backend, or change the one with this number; the server asks it at once."""
        self._set("/api/ml/", settings, number, "")

    def _set(self, path: str, settings: Json, number: int | None, end: str = "/") -> None:
        if number is None:
            self._call("POST", path, json=settings)
        else:
            self._call("PATCH", f"{path}{number}{end}", json=settings)

    def _object(self, method: str, path: str, fields: Fields, **how: Any) -> Json:
        answer = self._call(method, path, **how)
        return self._checked([answer], fields, f"{method} {path}")[0]

    def _objects(self, path: str, fields: Fields, **how: Any) -> list[Json]:
        return self._checked(self._call("GET", path, **how), fields, f"GET {path}")

    def _checked(self, answer: Any, fields: Fields, asked: str) -> list[Json]:
        """Return a list of objects that have these fields; LabelStudioError where it is none."""
        if isinstance(answer, list) and all(_has(each, fields) for each in answer):
            return answer
        names = f" with {', '.join(fields)}" if fields else ""
        raise LabelStudioError(
            f"{asked}: {self.url} answered with other JSON than a Label Studio, which has objects"
            f"{names} there; is --url the address of one?"
        )

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Json | None = None,
        json: Any = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> Any:
        """Return the answer to a call; LabelStudioError in one line for anything else."""
        response = self._send(method, path, params=query, json=json, timeout=timeout)
        if not response.is_success:
            raise LabelStudioError(self._auth.clean(self._refusal(method, path, response)))
        if response.status_code == 204 or not response.content:
            return None
        try:
            return response.json()
        except ValueError as error:
            kind = response.headers.get("content-type", "something without a type")
            raise LabelStudioError(
                f"{method} {path}: {self.url} answered with {kind}, not JSON; is --url the address "
                "of a Label Studio, without the path of a page?"
            ) from error

    def _send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send a call; again after a pause where that does no harm.

        A POST that was cut off may have been carried out, so it is never sent twice.
        """
        pauses = list(PAUSES) if method != "POST" else []
        while True:
            try:
                response = self._http.request(method, path, **how)
            except httpx.HTTPError as error:
                if not pauses:
                    raise LabelStudioError(self._auth.clean(self._silence(error))) from None
                self._sleep(pauses.pop(0))
                continue
            if response.status_code not in BUSY or not pauses:
                return response
            self._sleep(max(pauses.pop(0), _asked_to_wait(response)))

    def _silence(self, error: httpx.HTTPError) -> str:
        if isinstance(error, httpx.TimeoutException) and not isinstance(
            error, httpx.ConnectTimeout
        ):
            return f"{self.url} did not answer in time: is it busy? run the same command again"
        return (
            f"{self.url} cannot be reached ({error}): is Label Studio running there, and is --url "
            "right?"
        )

    def _refusal(self, method: str, path: str, response: httpx.Response) -> str:
        """Return in one line what a status other than success means, and what to do."""
        status, said = response.status_code, " ".join(response.text.split())[:QUOTED]
        if "html" in response.headers.get("content-type", ""):
            said = "a page of HTML"
        if status == 401 and "legacy token" in response.text:
            return (
                f"{self.url} no longer takes legacy tokens: give {VARIABLE} a personal access "
                "token, or turn legacy tokens on under Organization > Access Token Settings"
            )
        if status == 401:
            return f"{self.url} does not know the token in {VARIABLE} (or --token-file): {said}"
        if "reserved network" in response.text or "URL resolves" in response.text:
            return (
                f"{self.url} refuses to call an address of its own network: start Label Studio "
                "with SSRF_PROTECTION_ENABLED=false (webhooks) and ML_BLOCK_LOCAL_IP=false (ML "
                "backends), or give the backend a --public-url that it takes"
            )
        if response.is_redirect:
            there = response.headers.get("location", "elsewhere")
            return f"{self.url} sends us on to {there}: give that server as --url"
        if status == 404 and path.startswith("/api/projects/"):
            return (
                f"{self.url} has no project {path.split('/')[3]}, or the token's owner may not "
                "see it: give --project the number in the project's address, or a title"
            )
        if status in BUSY:
            return f"{self.url} is busy (status {status}): run the same command again later"
        return f"{self.url} answered {method} {path} with status {status}: {said}"


def checked_url(url: str, option: str = "--url") -> str:
    """Return a server's address without a slash at its end; LabelStudioError where it is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise LabelStudioError(f"{option} {url!r} is no address: {error}") from error
    if parts.username or parts.password:
        raise LabelStudioError(
            f"{option} holds a name or password for {parts.hostname}: leave it out"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise LabelStudioError(
            f"{option} {url!r} is not the address of a server: expected something like "
            "http://localhost:8080"
        )
    try:
        host = httpx.URL(url)
        _ = host.host  # raises where it is no international name
        host.raw_host.decode().encode("idna")  # as a socket does: raises where a part is too long
    except (ValueError, httpx.InvalidURL) as error:
        raise LabelStudioError(f"{option} {url!r} is no address: {error}") from error
    return url.rstrip("/")


def _has(found: Any, fields: Fields) -> bool:
    """Whether something is an object that has these fields."""
    return isinstance(found, dict) and all(
        name in found and isinstance(found[name], kind) for name, kind in fields.items()
    )


def _asked_to_wait(response: httpx.Response) -> float:
    """Return the seconds of Retry-After, within reason; 0 where it has none."""
    said = response.headers.get("retry-after", "")
    return min(float(said), LONGEST_PAUSE) if said.isdecimal() else 0.0
