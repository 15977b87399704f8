"""A process that does one thing after the other: it remembers, fails in a line, and ends."""

import os
import time
from functools import cache

import pytest

from clipcache.benchmark.own_process import OwnProcess
from clipcache.errors import ClipcacheError, SourceError


@cache
def remembered() -> float:
    return time.perf_counter()


def fail(error: Exception) -> None:
    raise error


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_another_process_that_keeps_what_it_loaded_and_ends() -> None:
    with OwnProcess() as run:
        pid = run(os.getpid)
        assert pid not in (os.getpid(), os.getppid())
        assert run(remembered) == run(remembered)
        assert run(os.getpid) == pid
        assert alive(pid)
    assert not alive(pid)


def test_what_fails_there_is_raised_here_in_one_line_and_the_process_goes_on() -> None:
    with OwnProcess() as run:
        with pytest.raises(SourceError, match=r"^no images$"):
            run(fail, SourceError("no images"))
        with pytest.raises(ClipcacheError, match=r"^KeyError: 'x'$"):
            run(fail, KeyError("x"))
        with pytest.raises(ClipcacheError, match=r"^ValueError: one$"):
            run(fail, ValueError("one\ntwo"))
        assert run(max, 1, 2) == 2


def test_a_death_is_told() -> None:
    with OwnProcess() as run, pytest.raises(ClipcacheError, match=r"ended \(exit code 3\)"):
        run(os._exit, 3)


def test_it_does_not_outlive_an_error_here() -> None:
    def stumble() -> None:
        with OwnProcess() as run:
            pids.append(run(os.getpid))
            raise KeyError

    pids: list[int] = []
    with pytest.raises(KeyError):
        stumble()
    assert not alive(pids[0])
