"""Tasks that share the processors: results as they come, and nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import psutil
import pytest
from threadpoolctl import threadpool_info

from clipcache.errors import RunError
from clipcache.processes import run_all
from clipcache.threads import available_threads

ROOT = Path(__file__).parents[1]


def look(number: int) -> tuple[int, int, list[int], int]:
    """Return the square, the process, and how many threads it works with."""
    np.ones((4, 4)) @ np.ones((4, 4))
    threads = [library["num_threads"] for library in threadpool_info()]
    return number * number, os.getpid(), threads, available_threads()


def refuse(number: int) -> int:
    if number == 3:
        raise RunError(f"cannot do {number}")
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def wait(number: int) -> int:
    if number:
        time.sleep(600)
    return number


def hesitate(number: int) -> int:
    time.sleep(number)
    return number


def assert_nobody_works() -> None:
    """A process that has ended stays listed for a moment, until its pool has heard of it."""
    patience = time.monotonic() + 10
    while active_children() and time.monotonic() < patience:
        time.sleep(0.01)
    assert active_children() == []


def test_every_task_is_done_once_elsewhere_with_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    found = dict(run_all(look, list(range(9))))
    assert {place: answer[0] for place, answer in found.items()} == {n: n * n for n in range(9)}
    for _, process, threads, available in found.values():
        assert process != os.getpid()
        assert threads  # a library is there, and was limited
        assert {*threads, available} == {1}
    assert_nobody_works()


def test_no_tasks_are_no_results() -> None:
    assert list(run_all(look, [])) == []


def test_an_error_of_a_task_is_raised_and_ends_all() -> None:
    with pytest.raises(RunError, match="cannot do 3"):
        list(run_all(refuse, list(range(9))))
    assert_nobody_works()


def test_a_process_that_is_killed_is_an_error_in_words() -> None:
    with pytest.raises(RunError, match="ended from outside, perhaps because memory ran out"):
        list(run_all(die, [1]))


def test_who_stops_listening_does_not_wait() -> None:
    results = run_all(wait, [0, 1, 2])
    assert next(results) == (0, 0)
    results.close()
    assert_nobody_works()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_do_not_outlive_their_owner(how: signal.Signals) -> None:
    code = (
        "from tests.test_processes import run_all, wait\n"
        "for _ in run_all(wait, [0, 1, 2]):\n"
        "    print('ready', flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    assert owner.stdout is not None
    with owner.stdout as told:
        assert told.readline() == "ready\n"
    workers = psutil.Process(owner.pid).children(recursive=True)
    assert workers
    owner.send_signal(how)
    assert owner.wait(timeout=60) != 0
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_workers_of_a_deaf_owner_are_deaf_too() -> None:
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from tests.test_processes import hesitate, run_all\n"
        "for place, _ in run_all(hesitate, [0, 1, 1]):\n"
        "    print(place, flush=True)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        start_new_session=True,
    )
    assert owner.stdout is not None
    with owner.stdout as told:
        assert told.readline() == "0\n"
        os.killpg(owner.pid, signal.SIGINT)
        assert sorted(told) == ["1\n", "2\n"]
    assert owner.wait(timeout=60) == 0
