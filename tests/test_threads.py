"""A single thread for sums, whoever else asks for one at the same time."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from clipcache.threads import one_thread


def blas_threads() -> int:
    np.ones((2, 2)) @ np.ones((2, 2))
    return max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")


def test_the_limit_lasts_until_the_last_has_left() -> None:
    entered, leave = Event(), Event()

    def other() -> None:
        with one_thread():
            entered.set()
            assert leave.wait(30)

    with threadpool_limits(2), ThreadPoolExecutor(1) as threads:
        before = blas_threads()
        waiting = threads.submit(other)
        assert entered.wait(30)
        with one_thread():
            leave.set()
            waiting.result()
            assert blas_threads() == 1  # the one who came first has left
        assert blas_threads() == before


def test_it_may_be_asked_for_inside_itself() -> None:
    with threadpool_limits(2):
        before = blas_threads()
        with one_thread(), one_thread():
            assert blas_threads() == 1
        assert blas_threads() == before
