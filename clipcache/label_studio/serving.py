"""The backend at work: requests are answered while one thread keeps run and project in step."""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from urllib.parse import urlsplit

from clipcache.desk.suggestions import Suggester
from clipcache.errors import LabelStudioError
from clipcache.label_studio.backend import make_backend, origins_of
from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.connect import connect
from clipcache.label_studio.sync import Synced, sync
from clipcache.label_studio.worker import Worker
from clipcache.photos import Photos
from clipcache.run import Run
from clipcache.web.server import address_of, serve

EVERY = 60.0
"""Seconds after which we look by ourselves: Label Studio sends a webhook once, and forgets it."""


def found_at(listening: socket.socket) -> str:
    """Return where others find a socket.

    Raises LabelStudioError where it listens on every address of this machine: tasks hold one of
    them, and only the user knows which one Label Studio and its annotators reach.
    """
    host = listening.getsockname()[0]
    if ip_address(host).is_unspecified:
        raise LabelStudioError(
            f"{host} is every address of this machine: say with --public-url which one Label "
            "Studio and its annotators reach, as http://192.0.2.7:9090"
        )
    return f"http://{urlsplit(address_of(listening, '')).netloc}"


def serve_backend(
    run: Run,
    studio: LabelStudio,
    wanted: str | None,
    photos: Photos,
    *,
    listening: socket.socket,
    public_url: str,
    on_sync: Callable[[Synced], None],
    say: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Parameters
    ----------
    wanted : number or title of the project, as in `push`.
    public_url : where Label Studio and its pages find `listening`.
    on_sync : hears what was done, where anything was.
    say : hears in one line why something could not be done, or no image be had; it is tried again.
    """
    suggester, connected = Suggester(run), False

    def job(train: bool) -> None:
        nonlocal connected
        synced = sync(run, studio, wanted, public_url, suggester=suggester, train=train)
        if not connected or synced.news:
            on_sync(synced)
        if not connected:
            connect(run, studio, synced.pushed.project, public_url)
            connected = True

    worker = Worker(job, every=EVERY, say=say)
    app = make_backend(
        run,
        photos,
        suggester,
        hint=lambda train: worker.hint(train=train),
        origins=origins_of(studio.url),
        say=say,
    )
    with ExitStack() as ending:

        def ready() -> None:
            ending.enter_context(worker)
            worker.hint()

        serve(app, listening, ready)
