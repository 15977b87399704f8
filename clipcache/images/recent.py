"""What was made last, kept for threads that want it again, within bounds."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")

AT_LEAST = 2
"""Kept whatever they weigh: where one ends and the next begins, threads want both."""


class Recent(Generic[T]):
    """Values by key, each made once however many threads ask; a copy begins empty."""

    def __init__(self, room: int, weigh: Callable[[T], int]) -> None:
        """Keep values that together weigh at most `room`, and the last `AT_LEAST` in any case."""
        self._room, self._weigh = room, weigh
        self._made: OrderedDict[Any, Future[T]] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Recent, (self._room, self._weigh)

    def get(self, key: Any, make: Callable[[], T]) -> T:
        """Return the value of `key`, from `make` where it is not kept; errors are not kept."""
        with self._lock:
            future = self._made.get(key)
            mine = future is None
            if future is None:
                future = self._made[key] = Future()
            self._made.move_to_end(key)
        if mine:
            self._fill(key, future, make)
        return future.result()

    def _fill(self, key: Any, future: Future[T], make: Callable[[], T]) -> None:
        try:
            future.set_result(make())
        except BaseException as error:
            with self._lock:
                self._made.pop(key, None)
            future.set_exception(error)
            return
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        """Let go of the oldest until the rest fits."""
        done = [(key, future) for key, future in self._made.items() if future.done()]
        weight = sum(self._weigh(future.result()) for _, future in done)
        for key, future in done[:-AT_LEAST]:
            if weight <= self._room:
                break
            weight -= self._weigh(future.result())
            del self._made[key]
