"""One thread that does one thing at a time: requests only leave hints for it."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from clipcache.errors import ClipcacheError


class Worker:
    """Calls `job` after a hint, and every so often without one; hints that wait are one hint.

    A context manager: the thread runs inside, and has ended outside.
    """

    def __init__(
        self, job: Callable[[bool], None], *, every: float, say: Callable[[str], None]
    ) -> None:
        """Prepare to call `job(train)`; `train` says whether somebody asked for a fit.

        `every` is how many seconds pass at most between two calls, since a hint may get lost.
        `say` hears in one line why a call failed; the next one tries again.
        """
        self._job, self._every, self._say = job, every, say
        self._changed = threading.Condition()
        self._hinted = self._train = self._ended = False
        self._thread = threading.Thread(target=self._work, name="label-studio", daemon=True)

    def hint(self, *, train: bool = False) -> None:
        """Ask for a call soon; returns at once."""
        with self._changed:
            self._hinted = True
            self._train = self._train or train
            self._changed.notify()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._hinted or self._ended, self._every)
                if self._ended:
                    return
                train, self._hinted, self._train = self._train, False, False
            try:
                self._job(train)
            except ClipcacheError as error:
                self._say(str(error))
            except Exception as error:  # a thread that dies would leave both sides out of step
                self._say(f"{type(error).__name__}: {error}")
