"""The engine of many machines: a Ray cluster whose workers write into the same cache.

Vectors never travel: each worker writes its chunks itself, into a folder that all machines share or
an object store, and tells only how many images it has looked at. A worker or a machine that dies
costs the chunks that it had.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

from clipcache.encoders.base import Encoder
from clipcache.engines.cluster import EACH, Crew, connected, require_shared, room, share
from clipcache.engines.work import MakeEncoder, Seen, Task, Unit, do_chunks
from clipcache.threads import limit_threads


@dataclass(frozen=True)
class Ray:
    """Has chunks done by workers of a Ray cluster: that of RAY_ADDRESS, or one on this machine."""

    make_encoder: MakeEncoder
    cpus: int = 1
    """Processors that each worker gets where it gets no GPU."""
    gpus: float = 0
    """GPUs that each worker gets, where the cluster has some; a half is shared by two."""
    count: int | None = None
    """Workers; None: as many as the cluster has room for."""

    def run(self, task: Task, units: Iterable[Unit]) -> Iterator[Seen]:
        """Have each unit done once.

        Raises what a worker raises, and EngineError where Ray is not installed, where there are no
        workers, and for a chunk over which workers die again and again.
        """
        ray, by_chunk = connected(), {unit.chunk: unit for unit in units}
        gpus = self.gpus if ray.cluster_resources().get("GPU") else 0
        cpus = share(ray, gpus=gpus, most=task.threads) if gpus else self.cpus
        place = {"num_cpus": cpus, "num_gpus": gpus}
        actor = ray.remote(_Actor).options(**place, max_concurrency=EACH, max_restarts=0)
        crew = Crew(ray, partial(actor.remote, replace(task, threads=cpus), self.make_encoder))

        def send(worker: Any, chunk: int) -> Any:
            return worker.do.remote(by_chunk[chunk])

        try:
            workers = self.count or room(ray, cpus=cpus, gpus=gpus)
            crew.hire(min(workers, len(by_chunk)))
            for seen in crew.do(by_chunk, send):
                yield from seen
        finally:
            crew.end()


class _Actor:
    """A worker."""

    def __init__(self, task: Task, make_encoder: MakeEncoder) -> None:
        limit_threads(task.threads)
        self._task = task
        self._make_encoder = make_encoder
        self._encoder: Encoder | None = None
        self._making = Lock()

    def ready(self) -> None:
        """Return at once, where the cache is there."""
        require_shared(self._task.cache)

    def do(self, unit: Unit) -> list[Seen]:
        """Do one unit; the first makes the encoder, whose weights may have to be fetched."""
        with self._making:
            self._encoder = self._encoder or self._make_encoder()
        return list(do_chunks(self._task, self._encoder, [unit]))
