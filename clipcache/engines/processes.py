"""The engine of one machine and many processes, one for each GPU, or for some cores each.

Every worker asks for a chunk when it can begin to decode one. Where a worker dies, its chunks go
to a new one, so a death costs no more than they took.
"""

import os
import signal
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from clipcache.engines.work import MakeEncoder, Seen, Task, Unit, do_chunks
from clipcache.errors import ClipcacheError, EngineError
from clipcache.threads import available_threads, limit_threads

DEATHS = 3
"""How many workers may die over one chunk before it is given up."""


@dataclass(frozen=True)
class Processes:
    """Has chunks done by other processes of this machine."""

    make_encoder: MakeEncoder
    count: int
    gpus: int = 0
    """GPUs to spread the processes over; 0 leaves them as they are."""

    def run(self, task: Task, units: Iterable[Unit]) -> Iterator[Seen]:
        """Have each unit done once.

        Raises what a worker raises, and EngineError for a chunk over which workers die again and
        again. When the caller stops listening, nothing goes on in the background.
        """
        waiting, deaths = deque(units), Counter[int]()
        workers: dict[Connection, _Worker] = {}
        try:
            while waiting or workers:
                while len(workers) < min(self.count, len(waiting) + _busy(workers)):
                    taken = {worker.place for worker in workers.values()}
                    new = self._start(task, min(set(range(self.count)) - taken))
                    workers[new.pipe] = new
                ready = set(wait(list(workers)))
                for worker in [one for one in workers.values() if one.pipe in ready]:
                    try:
                        yield from worker.hear(waiting, deaths)
                    except (EOFError, ConnectionError):
                        del workers[worker.pipe]
                        yield from _bury(worker, waiting, deaths)
        finally:
            for worker in workers.values():
                worker.end()

    def _start(self, task: Task, place: int) -> "_Worker":
        ours, theirs = _context().Pipe()
        threads = max(1, available_threads() // self.count)
        task = replace(task, threads=max(1, -(-task.threads // self.count)))
        environment = dict(os.environ)
        if self.gpus:
            mask = environment.get("CUDA_VISIBLE_DEVICES", "")
            environment["CUDA_VISIBLE_DEVICES"] = _mask_of(place % self.gpus, mask)
        process = _context().Process(
            target=_work, args=(theirs, task, self.make_encoder, threads, environment), daemon=True
        )
        process.start()
        theirs.close()  # so that the pipe ends with the process
        return _Worker(process, ours, place)


@dataclass
class _Worker:
    """A process at work, as seen from here."""

    process: BaseProcess
    pipe: Connection
    place: int
    """In [0, count); a new one gets the place of one that is gone."""
    open: dict[int, Unit] = field(default_factory=dict)
    """Units that it has and that are not on disk, by chunk."""
    seen: dict[int, list[int]] = field(default_factory=dict)
    """Images that it has looked at of each of them, and failed ones."""
    begun: bool = False
    """Whether it has said anything."""

    def hear(self, waiting: deque[Unit], deaths: Counter[int]) -> Iterator[Seen]:
        """Take in one message: what was done, the wish for a unit (None), or what went wrong."""
        message = self.pipe.recv()
        self.begun = True
        if message is None:
            unit = self._choose(waiting, deaths)
            if unit:
                self.open[unit.chunk] = unit
                self.seen[unit.chunk] = [0, 0]
            self.pipe.send(unit)
        elif isinstance(message, Seen):
            if message.sealed:
                del self.open[message.chunk], self.seen[message.chunk]
            else:
                self.seen[message.chunk][0] += message.images
                self.seen[message.chunk][1] += message.failed
            yield message
        else:
            raise message

    def _choose(self, waiting: deque[Unit], deaths: Counter[int]) -> Unit | None:
        """Take out what to do next; None lets the process end when it has done what it has.

        Over which chunk a process died is not known where it had two, so those are done alone.
        """
        if any(deaths[chunk] for chunk in self.open):
            return None
        for place, unit in enumerate(waiting):
            if not (self.open and deaths[unit.chunk]):
                del waiting[place]
                return unit
        return None

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _context() -> Any:
    """Return how processes are made: copies of one that has imported all and done nothing.

    A copy of this process would inherit the locks of its threads, and to import PyTorch again takes
    each process seconds.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    context.set_forkserver_preload(["clipcache.engines.work", "clipcache.encoders.openclip"])
    return context


def _busy(workers: dict[Connection, _Worker]) -> int:
    return sum(bool(worker.open) for worker in workers.values())


def _bury(worker: _Worker, waiting: deque[Unit], deaths: Counter[int]) -> Iterator[Seen]:
    """Give back what a worker had when it ended, and take back what it said of that."""
    worker.process.join()
    worker.pipe.close()
    for chunk, unit in worker.open.items():
        deaths[chunk] += 1
        if deaths[chunk] == DEATHS:
            raise EngineError(
                f"{DEATHS} processes ended at chunk {chunk} (exit code {worker.process.exitcode}), "
                "perhaps because memory ran out: use fewer processes or a smaller --batch-size, "
                "and run this again; the other chunks are kept"
            )
        waiting.append(unit)
        images, failed = worker.seen[chunk]
        yield Seen(chunk, -images, -failed)
    if not worker.begun and worker.process.exitcode:
        raise EngineError(
            f"a process ended before it had begun (exit code {worker.process.exitcode}): use fewer "
            "processes, or free memory"
        )


def _mask_of(gpu: int, mask: str) -> str:
    """Return the CUDA_VISIBLE_DEVICES of a worker, which leaves it one GPU of those of a mask.

    Its entries may be UUIDs or names of MIG; an empty mask leaves all.
    """
    entries = mask.split(",") if mask else []
    return entries[gpu].strip() if gpu < len(entries) else str(gpu)


def _work(
    pipe: Connection,
    task: Task,
    make_encoder: MakeEncoder,
    threads: int,
    environment: dict[str, str],
) -> None:
    """Be a worker until there is nothing left to do, or nobody who listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches everybody; one of us ends the rest
    # What it is a copy of may be older than the credentials of a cloud, say.
    os.environ.clear()
    os.environ.update(environment)
    try:
        try:
            encoder = make_encoder()
            limit_threads(threads)
            for seen in do_chunks(task, encoder, iter(_Asking(pipe))):
                pipe.send(seen)
        except ClipcacheError as error:
            pipe.send(error)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(1)  # the other side is gone: leave without waiting for the threads that decode


@dataclass(frozen=True)
class _Asking:
    """Asks the other side for one unit after the other."""

    pipe: Connection

    def __iter__(self) -> Iterator[Unit]:
        """Yield units until there is none left."""
        while True:
            self.pipe.send(None)
            unit = self.pipe.recv()
            if unit is None:
                return
            yield unit
