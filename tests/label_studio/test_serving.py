"""What the backend's thread does when it is told to."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from clipcache.label_studio import serving, sync
from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.link import Link
from clipcache.label_studio.pull import Pulled
from clipcache.label_studio.push import Pushed
from clipcache.label_studio.token import Token
from clipcache.run import Run
from tests.label_studio.runs import begin, truth

URL = "http://127.0.0.1:1"
PUSHED = Pushed(3, f"{URL}/projects/3/data", 8, 0, 0, 0, None)

Job = Callable[[bool], None]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = begin(tmp_path)
    Link(URL, 3, "https://photos.example/{key}").write(run.folder)
    yield run
    run.store.close()


@pytest.fixture
def job(run: Run, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return what the backend's thread calls; the server has two answers that we never heard of."""
    rows = run.propose().tolist()[:2]

    def pull(*_: Any) -> Pulled:
        if not run.ballots.rows():
            labels = [run.names.index(truth(row)) for row in rows]
            run.record(rows, labels, annotator="ann@example.org", source="label-studio")
        return Pulled(3)

    worker = MagicMock()
    for module, name, stub in [
        (sync, "pull", pull),
        (sync, "push", lambda *_, **__: PUSHED),
        (serving, "Worker", worker),
        (serving, "serve", MagicMock()),
        (serving, "connect", MagicMock()),
    ]:
        monkeypatch.setattr(module, name, stub)
    with LabelStudio(URL, Token("t")) as studio, socket.socket() as listening:
        serving.serve_backend(
            run,
            studio,
            None,
            MagicMock(),
            listening=listening,
            public_url="http://127.0.0.1:2",
            on_sync=lambda done: None,
            say=print,
        )
    found: Job = worker.call_args.args[0]
    return found


def test_start_training_learns_what_no_webhook_told_of(run: Run, job: Job) -> None:
    job(True)
    (closed,) = run.store.rounds()
    assert closed.seen == run.store.history()[-1].id
    assert len(run.store.batches()) == 2
    job(True)  # nothing new to learn
    assert len(run.store.batches()) == 2


def test_without_it_a_few_answers_are_no_round(run: Run, job: Job) -> None:
    job(False)
    assert len(run.store.history()) == 2
    assert run.store.rounds() == []
