"""One thing at a time, in a thread of its own; hints that wait are one hint."""

import threading
import time

from clipcache.errors import RunError
from clipcache.label_studio.worker import Worker
from tests.label_studio.conftest import wait_for

LONG = 3600.0


def test_hints_that_come_meanwhile_are_one_and_none_is_lost() -> None:
    calls: list[bool] = []
    go = threading.Event()
    at_once: list[int] = []

    def job(train: bool) -> None:
        calls.append(train)
        at_once.append(threading.active_count())
        assert go.wait(30)

    with Worker(job, every=LONG, say=print) as worker:
        worker.hint()
        assert wait_for(lambda: len(calls) == 1, 30)
        for _ in range(50):
            worker.hint()
        worker.hint(train=True)
        worker.hint()
        assert len(calls) == 1
        go.set()
        assert wait_for(lambda: len(calls) == 2, 30)
    assert calls == [False, True]


def test_without_a_hint_it_looks_by_itself() -> None:
    calls: list[bool] = []
    with Worker(calls.append, every=0.01, say=print):
        assert wait_for(lambda: len(calls) > 3, 30)
    after = len(calls)
    time.sleep(0.05)
    assert len(calls) == after


def test_what_fails_is_said_and_tried_again() -> None:
    calls: list[bool] = []
    said: list[str] = []

    def job(train: bool) -> None:
        calls.append(train)
        if len(calls) == 1:
            raise RunError("not today")
        if len(calls) == 2:
            raise KeyError("a bug")

    with Worker(job, every=LONG, say=said.append) as worker:
        worker.hint()
        assert wait_for(lambda: said, 30)
        worker.hint(train=True)
        assert wait_for(lambda: len(said) == 2, 30)
        worker.hint()
        assert wait_for(lambda: len(calls) == 3, 30)
    assert said == ["not today", "KeyError: 'a bug'"]
    assert calls == [False, True, False]
