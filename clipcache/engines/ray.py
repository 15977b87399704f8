"""The engine of many machines: a Ray cluster whose workers write into the same cache.

Vectors never travel: each worker writes its chunks itself, into a folder that all machines share or
an object store, and tells only how many images it has looked at. A worker or a machine that dies
costs the chunks that it had.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from clipcache.engines.work import MakeEncoder, Seen, Task, Unit, do_chunks
from clipcache.errors import ClipcacheError, EngineError
from clipcache.threads import limit_threads

EACH = 2
"""Chunks that a worker has at once: while one is written, the next is decoded."""
DEATHS = 3
"""How many workers may die over one chunk before it is given up."""
PATIENCE = 120.0
"""Seconds to wait for a worker when there is none."""


@dataclass(frozen=True)
class Ray:
    """Has chunks done by workers of a Ray cluster: that of RAY_ADDRESS, or one on this machine."""

    make_encoder: MakeEncoder
    cpus: int = 1
    """Processors that each worker gets."""
    gpus: float = 0
    """GPUs that each worker gets; a half is shared by two."""
    count: int | None = None
    """Workers; None: as many as the cluster has room for."""

    def run(self, task: Task, units: Iterable[Unit]) -> Iterator[Seen]:
        """Have each unit done once.

        Raises what a worker raises, and EngineError where Ray is not installed, where there are no
        workers, and for a chunk over which workers die again and again.
        """
        ray = _connected()
        crew = _Crew(ray, self._actor(ray), replace(task, threads=self.cpus), self.make_encoder)
        try:
            yield from crew.do(deque(units), self.count or self._room(ray))
        finally:
            crew.end()

    def _actor(self, ray: Any) -> Any:
        place = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        return ray.remote(_Actor).options(**place, max_concurrency=EACH, max_restarts=0)

    def _room(self, ray: Any) -> int:
        """Return how many workers the cluster has room for."""
        there = ray.cluster_resources()
        room = int(there.get("CPU", 0) // self.cpus)
        return max(1, min(room, int(there.get("GPU", 0) // self.gpus)) if self.gpus else room)


class _Actor:
    """A worker."""

    def __init__(self, task: Task, make_encoder: MakeEncoder) -> None:
        limit_threads(task.threads)
        self._task = task
        self._encoder = make_encoder()

    def ready(self) -> None:
        """Return when there is an encoder."""
        if not Path(self._task.cache).exists():
            raise EngineError(
                f"a Ray worker finds no {self._task.cache}: the cache must be in a folder that all "
                "machines share under the same name"
            )

    def do(self, unit: Unit) -> list[Seen]:
        """Do one unit."""
        return list(do_chunks(self._task, self._encoder, [unit]))


class _Crew:
    """The workers, and what each of them has."""

    def __init__(self, ray: Any, actor: Any, task: Task, make_encoder: MakeEncoder) -> None:
        self._ray = ray
        self._new: Callable[[], Any] = partial(actor.remote, task, make_encoder)
        self._starting: dict[Any, Any] = {}
        """Promise of being ready -> worker."""
        self._busy: dict[Any, tuple[Any, Unit]] = {}
        """Promise of a unit -> worker and unit."""
        self._workers: list[Any] = []
        self._deaths: Counter[int] = Counter()

    def do(self, waiting: deque[Unit], count: int) -> Iterator[Seen]:
        """Have all units done by `count` workers, fewer where there are not as many chunks."""
        for _ in range(min(count, len(waiting))):
            self._start()
        while waiting or self._busy:
            self._hand_out(waiting)
            for promise in self._next():
                if promise in self._starting:
                    self._begun(promise)
                else:
                    yield from self._done(promise, waiting)

    def end(self) -> None:
        """End all workers."""
        for worker in (*self._workers, *self._starting.values()):
            self._ray.kill(worker)

    def _start(self) -> None:
        worker = self._new()
        self._starting[worker.ready.remote()] = worker

    def _hand_out(self, waiting: deque[Unit]) -> None:
        """Give each worker what it has room for, one unit at a time in turn."""
        held = Counter(worker for worker, _ in self._busy.values())
        for _ in range(EACH):
            for worker in self._workers:
                if waiting and held[worker] < EACH:
                    held[worker] += 1
                    unit = waiting.popleft()
                    self._busy[worker.do.remote(unit)] = worker, unit

    def _next(self) -> list[Any]:
        """Wait for a worker that is ready, or has done something."""
        promises = [*self._busy, *self._starting]
        patience = None if self._busy else PATIENCE
        found: list[Any] = self._ray.wait(promises, timeout=patience)[0] if promises else []
        if not found:
            raise EngineError(
                f"no Ray worker came within {PATIENCE:.0f} s; `ray status` says what the cluster "
                "has: every worker needs its processors, and a GPU where --device is cuda"
            )
        return found

    def _begun(self, promise: Any) -> None:
        worker = self._starting.pop(promise)
        try:
            self._result(promise)
        except self._ray.exceptions.RayActorError as error:
            raise EngineError(f"a Ray worker did not start: {_line(error)}") from error
        self._workers.append(worker)

    def _done(self, promise: Any, waiting: deque[Unit]) -> Iterator[Seen]:
        worker, unit = self._busy.pop(promise)
        try:
            yield from self._result(promise)
        except self._ray.exceptions.RayActorError as error:
            self._deaths[unit.chunk] += 1
            if self._deaths[unit.chunk] == DEATHS:
                raise EngineError(
                    f"{DEATHS} Ray workers ended at chunk {unit.chunk} ({_line(error)}); run this "
                    "again: the other chunks are kept"
                ) from error
            waiting.append(unit)
            if worker in self._workers:
                self._workers.remove(worker)
                self._start()

    def _result(self, promise: Any) -> Any:
        """Return what was promised; raise what the worker raised."""
        try:
            return self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ClipcacheError):
                raise error.cause from None
            raise


def _connected() -> Any:
    try:
        import ray
    except ImportError as error:
        raise EngineError("Ray is not installed; `pip install clipcache[ray]`") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    return ray


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
