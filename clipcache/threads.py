"""How many threads to work with."""

import os

_limit: int | None = None


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
