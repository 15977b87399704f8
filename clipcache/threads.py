"""How many threads to work with."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

_limit: int | None = None
_lock = Lock()
_inside: list[Any] = []
"""What limits were before, for each `one_thread` that is open; the first entry is of the first."""


def available_threads() -> int:
    """Return how many processors this process may use, which can be fewer than there are."""
    if _limit is not None:
        return _limit
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_threads(threads: int) -> None:
    """From now on let this process work with so many threads, other libraries' among them.

    For one of several processes that share the processors.
    """
    from threadpoolctl import threadpool_limits

    global _limit
    _limit = threads
    threadpool_limits(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let matrix libraries use a single thread, so that sums do not depend on how many there are.

    Some libraries have one limit for the whole process, others one for each thread. So everybody
    sets it, and the last to leave, in whatever thread, puts back what was there before the first.
    """
    from threadpoolctl import threadpool_limits

    with _lock:
        _inside.append(threadpool_limits(1))
    try:
        yield
    finally:
        with _lock:
            if len(_inside) == 1:
                _inside[0].restore_original_limits()
            _inside.pop()
