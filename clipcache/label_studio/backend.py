"""What Label Studio asks of an ML backend, answered at once from features in memory.

`/health` and `/setup` come before every prediction and have a second or three, so nothing is fitted
in a request: a webhook, or "Start training", is a hint for the worker. What a webhook says is not
believed either; the worker pulls. Images are served here as well, each under a token of its own.
"""

import asyncio
import base64
import binascii
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from clipcache.arrays import RowIds
from clipcache.desk.suggestions import Suggester
from clipcache.errors import ImageError, LabelStudioError, SourceError
from clipcache.label_studio.client import Json
from clipcache.label_studio.images import derived, image_token
from clipcache.label_studio.labelling import read
from clipcache.label_studio.tasks import guesses, model_version, prediction, row_of, run_id
from clipcache.photos import Photos
from clipcache.run import Run
from clipcache.web.pictures import AT_ONCE

USER = "clipcache"
"""The user name that goes with the backend's password."""
HEADER = "X-Clipcache-Secret"
"""Holds the secret of a webhook."""
SIDE = 1024
"""Pixels of the longest side of an image that is served."""
LARGEST = 64 << 20
"""Bytes of a request: 100,000 tasks or so."""
HOUR = 3600
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Secrets:
    """What Label Studio must know to be answered."""

    password: str
    webhook: str
    images: str

    @classmethod
    def of(cls, run: Run) -> "Secrets":
        """Return those of a run, the same ones whenever its backend is started."""
        return cls(*(derived(run.folder, purpose) for purpose in ("password", "webhook", "images")))


def make_backend(
    run: Run,
    photos: Photos,
    suggester: Suggester,
    *,
    hint: Callable[[bool], None],
    origins: list[str],
    say: Callable[[str], None] = lambda why: None,
) -> Starlette:
    """Return the app.

    `hint` is called with whether a fit is asked for, and must return at once. `origins` are those
    of Label Studio's pages, which may read images. `say` hears in one line why no images can be
    had; when some could, it hears again.
    """
    askable = np.union1d(run.pool, run.held_out)
    few = asyncio.Semaphore(AT_ONCE)
    backend = _Backend(run, photos, Secrets.of(run), hint, say, suggester, askable, few)
    pages = Middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET"])
    routes = [
        Route("/health", backend.health),
        Route("/setup", backend.setup, methods=["POST"]),
        Route("/predict", backend.predict, methods=["POST"]),
        Route("/webhook", backend.webhook, methods=["POST"]),
        Route("/image/{token}/{row}", backend.image),
    ]
    return Starlette(routes=routes, middleware=[pages], exception_handlers={HTTPException: _refuse})


def origins_of(url: str) -> list[str]:
    """Return the origins under which a browser may know a server: loopback has several names."""
    parts = urlsplit(url)
    if parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return [f"{parts.scheme}://{parts.netloc}"]
    port = f":{parts.port}" if parts.port else ""
    return [f"{parts.scheme}://{name}{port}" for name in LOOPBACK]


@dataclass(frozen=True)
class _Backend:
    run: Run
    photos: Photos
    secrets: Secrets
    hint: Callable[[bool], None]
    say: Callable[[str], None]
    suggester: Suggester
    askable: RowIds
    """Sorted rows that people may be asked about."""
    few: asyncio.Semaphore
    """Lets few images be decoded at once: their threads are those of all requests."""

    async def health(self, request: Request) -> Response:
        """Say that we are there."""
        self._let_in(request)
        return JSONResponse({"status": "UP", "model_class": "clipcache"})

    async def setup(self, request: Request) -> Response:
        """Say which head is the newest. The token in the request is neither kept nor looked at."""
        self._let_in(request)
        return JSONResponse({"model_version": await run_in_threadpool(model_version, self.run)})

    async def predict(self, request: Request) -> Response:
        """Answer with what the newest head says about each task."""
        self._let_in(request)
        asked = await _body(request)
        tasks, config = asked.get("tasks"), asked.get("label_config")
        if not isinstance(tasks, list) or not isinstance(config, str):
            raise HTTPException(400, "expected tasks and label_config")
        try:
            found = await run_in_threadpool(self._results, tasks, config)
        except LabelStudioError as error:  # a configuration that is not ours
            raise HTTPException(400, str(error)) from error
        return JSONResponse({"results": found})

    def _results(self, tasks: list[Any], config: str) -> list[list[Json]]:
        """Return a list of one prediction for each task, of none for a task that is not ours."""
        form, mine = read(config, "the project"), run_id(self.run)
        data = [task.get("data") if isinstance(task, dict) else None for task in tasks]
        rows = [row_of(each, mine, self.run.data.n) for each in data]
        ours = np.unique([row for row in rows if row is not None]).astype(np.int64)
        places = np.minimum(np.searchsorted(self.askable, ours), len(self.askable) - 1)
        # Others have no features, or no business here: images that failed, evaluation images.
        ours = ours[self.askable[places] == ours]
        found = guesses(self.run, self.suggester, ours)
        version = model_version(self.run)
        return [
            [prediction(form, found[row], version)] if row is not None and row in found else []
            for row in rows
        ]

    async def webhook(self, request: Request) -> Response:
        """Leave a hint; what happened is looked up by the worker, not taken from here."""
        given = request.headers.get(HEADER, "").encode()
        if not secrets.compare_digest(given, self.secrets.webhook.encode()):
            self._let_in(request)
        action = str((await _body(request)).get("action"))
        train = action == "START_TRAINING"
        if train or action.startswith("ANNOTATION"):
            self.hint(train)
        return JSONResponse({"status": "queued" if train else "ok"})

    async def image(self, request: Request) -> Response:
        """Return one image, smaller and made anew, to whoever knows its token."""
        row, given = request.path_params["row"], request.path_params["token"]
        # Only numbers of ours have a token; any other text is never taken for a number.
        if not secrets.compare_digest(
            given.encode(), image_token(self.secrets.images, row).encode()
        ):
            raise HTTPException(403, "this address is not one of ours")
        told = self.photos.problem
        try:
            async with self.few:
                made = await run_in_threadpool(self.photos.jpeg, int(row), SIDE)
        except ImageError as error:
            raise HTTPException(404, str(error)) from error
        except SourceError as error:
            if str(error) != told:
                self.say(str(error))
            raise HTTPException(503, str(error)) from error
        headers = {"Cache-Control": f"private, max-age={HOUR}", "X-Content-Type-Options": "nosniff"}
        return Response(made, media_type="image/jpeg", headers=headers)

    def _let_in(self, request: Request) -> None:
        """Raise 401 unless the request has the password, which no browser sends by itself."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            said = base64.b64decode(given, validate=True) if kind.lower() == "basic" else b""
        except binascii.Error:
            said = b""
        if not secrets.compare_digest(said, f"{USER}:{self.secrets.password}".encode()):
            raise HTTPException(401, "wrong or no password")


async def _body(request: Request) -> Json:
    """Return the JSON object of a request; refuse one that is too large while it arrives."""
    got = bytearray()
    async for chunk in request.stream():
        got += chunk
        if len(got) > LARGEST:
            raise HTTPException(413, f"more than {LARGEST:,} bytes", {"Connection": "close"})
    try:
        found = json.loads(got)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "expected a JSON object")
    return found


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(error.detail, error.status_code, headers=error.headers)
