"""Workers of a Ray cluster: who is there, who has what, and what becomes of that when one dies."""

import logging
import os
import re
import socket
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from clipcache.cache.storage import storage_of
from clipcache.errors import ClipcacheError, EngineError
from clipcache.images.roots import Place

EACH = 2
"""Jobs that a worker has at once: while one ends, the next is there already."""
DEATHS = 3
"""How many workers may die over one job before it is given up, or before any has begun."""
PATIENCE = 120.0
"""Seconds to wait for a worker when there is none."""
ANSWER = 5.0
"""Seconds that the cluster of RAY_ADDRESS has to answer."""
ALIKE = "all machines need the same Python, Ray and clipcache, with what these import"


def connected() -> Any:
    """Return Ray, connected to the cluster of RAY_ADDRESS, or to one that begins on this machine.

    Raises EngineError where it is not installed, and where there is no such cluster, or one that
    does not take this process.
    """
    try:
        import ray
    except ImportError as error:
        raise EngineError("Ray is not installed; `pip install clipcache[ray]`") from error
    if ray.is_initialized():
        return ray
    # Or Ray prints each error that nobody asks for, after the one that is raised.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _require_listener(address)
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        where = f"the Ray cluster at RAY_ADDRESS={address}" if address else "a Ray cluster here"
        raise EngineError(
            f"cannot use {where} ({_line(error)}); `ray status` says whether there is one, and "
            f"{ALIKE}; without RAY_ADDRESS one begins on this machine"
        ) from error
    return ray


def _require_listener(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray would try for a quarter of an hour."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()


def room(ray: Any, *, cpus: int, gpus: float = 0) -> int:
    """Return how many workers the cluster has room for, where each gets so much."""
    there = ray.cluster_resources()
    workers = int(there.get("CPU", 0) // cpus)
    return max(1, min(workers, int(there.get("GPU", 0) // gpus)) if gpus else workers)


def share(ray: Any, *, gpus: float, most: int) -> int:
    """Return how many processors each worker can have beside so many GPUs, `most` at most.

    On the machine that has the fewest for its GPUs there is still a worker for all of these.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    shares = [int(one.get("CPU", 0) * gpus // one["GPU"]) for one in machines if one.get("GPU")]
    return max(1, min([most, *shares]))


def require_shared(cache: Place) -> None:
    """Raise EngineError where this machine, that of a worker, finds no such cache."""
    if storage_of(cache).begun():
        return
    if isinstance(cache, Path):
        remedy = "it must be in a folder that all machines share under the same name"
    else:
        remedy = "all machines need the same settings for it, such as AWS_ENDPOINT_URL"
    raise EngineError(f"a Ray worker finds no cache at {cache}: {remedy}")


class Crew:
    """Workers that are all alike. They stay from one `do` to the next; one thread at a time."""

    def __init__(self, ray: Any, new: Callable[[], Any]) -> None:
        """Take no worker yet; `new` makes one, whose `ready` returns when it can begin."""
        self._ray = ray
        self._new = new
        self._starting: dict[Any, Any] = {}
        """Promise of being ready -> worker."""
        self._workers: list[Any] = []
        """Those that are ready."""
        self._failures = 0
        """How often in a row workers ended before they were ready; at the same time is once."""
        self._before: dict[Any, int] = {}
        """Worker that was never ready -> failures before it was made."""
        self._did: dict[int, Any] = {}
        """Job -> who did it last."""
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError,
        )

    def hire(self, count: int) -> None:
        """Let there be so many workers, and return before they are ready."""
        for _ in range(count - len(self._workers) - len(self._starting)):
            self._start()

    def do(self, jobs: Iterable[int], send: Callable[[Any, int], Any]) -> Iterator[Any]:
        """Have each job done once, and yield what comes back, in any order.

        `send` gives a job to a worker and returns the promise. Raises what a worker raises, and
        EngineError where no worker comes, or one after the other dies over the same job.
        """
        waiting = _Waiting(jobs, self._did)
        busy: dict[Any, tuple[Any, int]] = {}
        deaths = Counter[int]()
        while waiting or busy:
            self._hand_out(waiting, busy, send)
            for promise in self._next(busy):
                if promise in self._starting:
                    self._begun(promise)
                    continue
                worker, job = busy.pop(promise)
                try:
                    found = self._result(promise)
                except self._lost as error:
                    deaths[job] += 1
                    if deaths[job] == DEATHS:
                        raise EngineError(
                            f"{DEATHS} Ray workers ended at chunk {job} ({_line(error)}); run this "
                            "again: what was done is kept"
                        ) from error
                    waiting.suspect(job)
                    self._bury(worker, busy)
                else:
                    self._did[job] = worker
                    yield found

    def end(self) -> None:
        """End all workers."""
        for worker in (*self._workers, *self._starting.values()):
            self._ray.kill(worker)

    def _start(self) -> None:
        worker = self._new()
        self._before[worker] = self._failures
        self._starting[worker.ready.remote()] = worker

    def _hand_out(
        self, waiting: "_Waiting", busy: dict[Any, tuple[Any, int]], send: Callable[[Any, int], Any]
    ) -> None:
        """Give each worker what it has room for, one job at a time in turn."""
        held: Counter[Any] = Counter()
        for worker, given in busy.values():
            held[worker] += waiting.weight(given)
        for _ in range(EACH):
            for worker in self._workers:
                job = waiting.take(worker, idle=not held[worker]) if held[worker] < EACH else None
                if job is not None:
                    held[worker] += waiting.weight(job)
                    busy[send(worker, job)] = worker, job

    def _next(self, busy: dict[Any, tuple[Any, int]]) -> list[Any]:
        """Wait for a worker that is ready, or has done something."""
        promises = [*busy, *self._starting]
        patience = None if busy else PATIENCE
        found: list[Any] = self._ray.wait(promises, timeout=patience)[0] if promises else []
        if not found:
            raise EngineError(
                f"no Ray worker came within {PATIENCE:.0f} s; `ray status` says what the cluster "
                "has: every worker needs a processor, and beside a GPU up to --workers of them"
            )
        return found

    def _begun(self, promise: Any) -> None:
        worker = self._starting.pop(promise)
        before = self._before.pop(worker, None)
        try:
            self._result(promise)
        except Exception as error:
            self._ray.kill(worker)  # it may live, and hold its processor
            if not isinstance(error, self._lost):
                raise
            if before == self._failures:
                self._failures += 1
            if self._failures == DEATHS:
                raise EngineError(
                    f"a Ray worker did not start ({_line(error)}); {ALIKE}"
                ) from error
            self._start()
        else:
            self._failures = 0
            self._workers.append(worker)

    def _bury(self, worker: Any, busy: dict[Any, tuple[Any, int]]) -> None:
        """Have another worker instead of one that is dead, or that nobody can reach.

        The others of its machine may be dead, too, and the job must not go from one to the next of
        them. Who has no room for it will be heard of; who has is asked whether it is there.
        """
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        self._ray.kill(worker)  # or one that lives keeps the processor of the next
        self._start()
        held = Counter(worker for worker, _ in busy.values())
        for other in [one for one in self._workers if held[one] < EACH]:
            self._workers.remove(other)
            self._starting[other.ready.remote()] = other

    def _result(self, promise: Any) -> Any:
        """Return what was promised; raise what the worker raised.

        What its machine or Ray is to blame for is an EngineError; anything else is a bug of ours.
        """
        try:
            return self._ray.get(promise)
        except self._lost:
            raise
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", error)
            if isinstance(cause, ClipcacheError):
                raise cause from None
            if isinstance(cause, OSError | MemoryError):
                remedy = "see to its machine, and run this again"
            elif isinstance(cause, ImportError | self._ray.exceptions.RayError):
                remedy = ALIKE
            else:
                raise
            raise EngineError(f"a Ray worker failed ({_line(error)}); {remedy}") from error


class _Waiting:
    """Jobs that nobody has, by who did them last: a worker still has in memory what it read."""

    def __init__(self, jobs: Iterable[int], did: dict[int, Any]) -> None:
        self._suspects: deque[int] = deque()
        self._suspected: set[int] = set()
        self._of: dict[Any, deque[int]] = defaultdict(deque)
        for job in jobs:
            self._of[did.get(job)].append(job)

    def __bool__(self) -> bool:
        return bool(self._suspects) or any(self._of.values())

    def suspect(self, job: int) -> None:
        """Take back a job of a worker that died, perhaps over another one that it had.

        So it is never again beside another one.
        """
        self._suspects.append(job)
        self._suspected.add(job)

    def weight(self, job: int) -> int:
        """Return how much of a worker's room a job takes: all of it where it is a suspect."""
        return EACH if job in self._suspected else 1

    def take(self, worker: Any, *, idle: bool) -> int | None:
        """Hand out a job that the worker did, or nobody; None where there is no such job.

        An idle one gets a suspect first, and at last something from who has most left.
        """
        if idle and self._suspects:
            return self._suspects.popleft()
        for who in (worker, None):
            if self._of[who]:
                return self._of[who].popleft()
        most = max(self._of.values(), key=len)
        return most.pop() if most and idle else None


def _line(error: Exception) -> str:
    """Return what a long message comes to: how its last traceback ends, or else its beginning."""
    said = str(error) or type(error).__name__
    ends = re.findall(r"^\w[\w.]*(?:Error|Exception): .+", said, re.MULTILINE)
    return " ".join((ends[-1] if ends else said).split())[:300]
