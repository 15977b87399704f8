"""Another process that does what it is told, one thing after the other, and keeps what it loaded.

Whoever is compared gets one, so that no library's threads, settings or memory disturb the others.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import ParamSpec, Self, TypeVar, cast

from clipcache.errors import ClipcacheError

P = ParamSpec("P")
Result = TypeVar("Result")

PATIENCE = 10.0
"""Seconds to clean up in, for a process that is ended."""


class OwnProcess:
    """Calls functions elsewhere; it ends with the context, or with this process."""

    def __enter__(self) -> Self:
        # A forked process would inherit the locks of threads that it does not have.
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,))
        self._process.start()
        theirs.close()  # so that the pipe ends with the process
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._pipe.close()
        if kind:
            self._process.terminate()
            self._process.join(PATIENCE)
            self._process.kill()
        self._process.join()

    def __call__(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return what an importable function returns there.

        Raises ClipcacheError for whatever it raises, and where the process ended.
        """
        try:
            self._pipe.send((function, args, kwargs))
            answer = self._pipe.recv()
        except (EOFError, ConnectionError) as error:
            self._process.join()
            raise ClipcacheError(
                f"a measured process ended (exit code {self._process.exitcode}), perhaps because "
                "memory ran out: give --images or --batch-size a smaller number"
            ) from error
        if isinstance(answer, ClipcacheError):
            raise answer
        return cast("Result", answer)


@contextmanager
def sigterm_exits() -> Iterator[None]:
    """Let SIGTERM end this process as an error would: files are removed, and processes ended."""
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # another one must not disturb what is cleaned up now
    sys.exit(128 + number)


@sigterm_exits()
def _serve(pipe: Connection) -> None:
    """Do what is asked for until nobody is there to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches everybody; who asked ends this
    while True:
        try:
            function, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            answer = function(*args, **kwargs)
        except ClipcacheError as error:
            answer = error
        except Exception as error:  # of libraries that are compared; they may not be picklable
            lines = str(error).splitlines() or [""]
            answer = ClipcacheError(f"{type(error).__name__}: {lines[0]}")
        pipe.send(answer)
