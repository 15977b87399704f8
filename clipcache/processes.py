"""Many independent tasks, one to a processor: results come as they are ready.

Small matrices gain nothing from many threads, which only wait for each other; processes do not.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from threading import enumerate as enumerate_threads
from typing import TypeVar

from clipcache.errors import RunError
from clipcache.threads import available_threads, limit_threads

Task = TypeVar("Task")
Result = TypeVar("Result")

PATIENCE = 5.0
"""Seconds for a thread that waits for the other half of what a terminated process wrote."""


def run_all(work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
    """Yield (place of the task, what `work` made of it) as soon as each is ready.

    Tasks are begun in their order. `work` must be importable. What it raises is raised here, and
    then, as when the caller stops listening or is killed, nothing goes on in the background. Raises
    RunError where a process is killed.
    """
    if not tasks:
        return
    others, before = set(active_children()), set(enumerate_threads())
    own: set[Thread] = set()
    # A forked process would inherit the locks of threads that it does not have.
    workers = ProcessPoolExecutor(
        min(available_threads(), len(tasks)), get_context("spawn"), _begin, (work.__module__,)
    )
    try:
        places = {workers.submit(work, task): place for place, task in enumerate(tasks)}
        own = set(enumerate_threads()) - before
        for ready in as_completed(places):
            yield places[ready], ready.result()
        workers.shutdown()
    except BrokenProcessPool as error:
        raise RunError(
            "a working process was ended from outside, perhaps because memory ran out; free some, "
            "or let this one use fewer processors, and run this again"
        ) from error
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
        for worker in set(active_children()) - others:
            worker.terminate()
            worker.join()
        for thread in own:
            thread.join(PATIENCE)  # or it may trip over the end of the interpreter


def _begin(module: str) -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches everybody; one of us speaks
    Thread(target=_end_with_parent, daemon=True).start()
    import_module(module)  # brings the libraries, and only one that is there can be limited
    limit_threads(1)


def _end_with_parent() -> None:
    """Leave at once when the parent is gone: the queue of tasks would never say so."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
