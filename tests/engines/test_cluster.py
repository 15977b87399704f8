"""Who gets which job, and what becomes of it, on machines that die at any moment."""

import random
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.engines.cluster import DEATHS, Crew, connected, require_shared, room, share
from clipcache.errors import CacheDamagedError, EngineError
from tests.buckets import make_bucket, s3_server


class Said(Exception):
    """What Ray says."""


class Died(Said):
    """What Ray says of a worker that is no more, or that cannot be reached."""


class Lost(Said):
    """What Ray says of something that was done, but is no more."""


class Starved(Said):
    """What Ray says of a worker that took the memory of others, and is no more."""


class Failed(Said):
    """What Ray makes of an error in a worker."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


GONE = CacheDamagedError("chunk 3 is gone")


class Promise(NamedTuple):
    worker: "Worker"
    number: int
    job: int | None


@dataclass(eq=False)
class Worker:
    """A worker as its handle; `ready.remote()` promises None."""

    ray: "FakeRay"
    machine: int

    @property
    def ready(self) -> Any:
        return SimpleNamespace(remote=lambda: self.ray.promise(self, None))


@dataclass
class FakeRay:
    """As much of Ray as a crew asks for. What is promised is kept in any order."""

    seed: int | None = None
    """None keeps promises in the order in which they are asked for."""
    machines: int = 1
    fatal: dict[int, int] = field(default_factory=dict)
    """Job -> how many workers it kills."""
    said: type[Said] = Lost
    """What is said of their jobs."""
    away: dict[int, int] = field(default_factory=dict)
    """Job -> how many workers cannot be reached while they are at it, though they live."""
    deaf: int = 0
    """How many workers cannot be reached before they are ready, though they live."""
    last_words: str = ""
    """What is said of them."""
    wrong: int = -1
    """A job that raises."""
    fault: Exception = GONE
    """What it raises."""

    def __post_init__(self) -> None:
        self.exceptions = SimpleNamespace(
            RayError=Said, RayActorError=Died, ObjectLostError=Lost, OutOfMemoryError=Starved
        )
        self.rng = random.Random(self.seed)
        self.dead: set[int] = set()
        self.ended: set[Worker] = set()
        self.made: list[Worker] = []
        self.did: dict[int, Worker] = {}
        self.count = 0

    def new(self) -> Worker:
        alive = [place for place in range(self.machines) if place not in self.dead]
        # Most are on the last machine.
        self.made.append(Worker(self, alive[min(len(self.made) % 7, len(alive) - 1)]))
        return self.made[-1]

    def promise(self, worker: Worker, job: int | None) -> Promise:
        self.count += 1
        return Promise(worker, self.count, job)

    def wait(self, promises: list[Promise], timeout: float | None) -> tuple[list[Promise], None]:
        if self.seed is None:
            return [min(promises, key=lambda promise: promise.number)], None
        found = self.rng.choice(promises)
        if self._dies(found):  # which of its promises is heard of first is not said
            found = self.rng.choice([one for one in promises if one.worker is found.worker])
        return [found], None

    def _dies(self, promise: Promise) -> bool:
        job, worker = promise.job, promise.worker
        if job is None or not self.fatal.get(job, 0) or worker in self.ended:
            return False
        self.fatal[job] -= 1
        self.ended.add(worker)
        return True

    def get(self, promise: Promise) -> int | None:
        worker, job = promise.worker, promise.job
        if self._dies(promise) or worker.machine in self.dead or worker in self.ended:
            raise Died if job is None else self.said
        if job is None and self.deaf:
            self.deaf -= 1
            raise Died(self.last_words)
        if job is not None and self.away.get(job):
            self.away[job] -= 1
            raise Died
        if job is not None and job == self.wrong:
            raise Failed(self.fault)
        if job is not None:
            self.did[job] = worker
        return job

    def kill(self, worker: Worker) -> None:
        self.ended.add(worker)


def done_by(
    ray: FakeRay, jobs: int, workers: int, each: Callable[[], None] = lambda: None
) -> tuple[Crew, list[int]]:
    """Return a crew and what it has done; `each` is called after each job."""
    crew, found = Crew(ray, ray.new), []
    crew.hire(workers)
    for job in crew.do(range(jobs), ray.promise):
        found.append(job)
        each()
    return crew, found


@given(st.integers(0, 2**32), st.integers(0, 30), st.integers(2, 4), st.integers(1, 12), st.data())
def test_each_job_comes_back_once_whichever_machines_die(
    seed: int, jobs: int, machines: int, workers: int, data: st.DataObject
) -> None:
    ray, turns = FakeRay(seed, machines), Counter[str]()
    lost = data.draw(st.dictionaries(st.integers(1, 30), st.integers(1, machines - 1), max_size=1))
    # With a machine, a job beside it, and its own, a third death would rightly give a job up.
    most = 1 if lost else None
    ray.fatal = data.draw(st.dictionaries(st.integers(0, 30), st.just(1), max_size=most))

    def each() -> None:
        turns["done"] += 1
        if turns["done"] in lost:
            ray.dead.add(lost[turns["done"]])

    crew, found = done_by(ray, jobs, workers, each)
    assert sorted(found) == list(range(jobs))
    assert sorted(crew.do(range(jobs), ray.promise)) == list(range(jobs)), "the crew goes on"


def test_a_job_is_given_up_for_its_own_deaths_only() -> None:
    """Behind one that was lost already stood others that killed, and took its result with them."""
    for seed in range(50):
        found = done_by(FakeRay(seed, fatal=dict.fromkeys(range(6), 1)), 6, 1)[1]
        assert sorted(found) == list(range(6))


def test_no_job_goes_from_one_dead_worker_to_the_next() -> None:
    ray = FakeRay(machines=2)  # one worker is on the first of them, and six on the second
    found = done_by(ray, 5, 7, lambda: ray.dead.add(1))[1]
    assert sorted(found) == list(range(5))


def test_a_worker_gets_what_it_did_the_last_time() -> None:
    ray = FakeRay()
    crew, _ = done_by(ray, 20, 3)
    before = dict(ray.did)
    assert len(set(before.values())) == 3
    assert sorted(crew.do(range(20), ray.promise)) == list(range(20))
    assert ray.did == before
    ray.dead.add(0)  # that is everybody
    ray.machines = 2
    assert sorted(crew.do(range(20), ray.promise)) == list(range(20))
    assert {worker.machine for worker in ray.did.values()} == {1}


def test_a_job_that_kills_again_and_again_is_given_up() -> None:
    ray = FakeRay(fatal={4: DEATHS - 1})
    assert sorted(done_by(ray, 9, 2)[1]) == list(range(9))
    for seed in range(20):  # and not one that was beside it
        with pytest.raises(EngineError, match="3 Ray workers ended at chunk 4"):
            done_by(FakeRay(seed, fatal={4: DEATHS}), 9, 2)


def test_workers_that_do_not_start_are_replaced_but_not_for_ever() -> None:
    ray = FakeRay(deaf=DEATHS - 1, machines=2)
    crew, found = done_by(ray, 5, 1)
    assert sorted(found) == list(range(5))
    ray.dead.add(1)
    ray.deaf = DEATHS - 1
    assert sorted(crew.do(range(5), ray.promise)) == list(range(5)), "these are not in a row"
    with pytest.raises(EngineError, match="a Ray worker did not start"):
        done_by(FakeRay(deaf=99), 5, 2)


def test_of_a_traceback_its_end_is_said() -> None:
    words = (
        "The actor died because of an error raised in its creation task, \x1b[36mray::_Worker"
        ".__init__()\x1b[39m (pid=14993, ip=10.0.0.2, actor_id=5b4d4fdeada86ad60d3ba66601000000)\n"
        "           ^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "RuntimeError: The actor with name _Worker failed to import on the worker. This may be "
        "because needed library dependencies are not installed in the worker environment:\n\n"
        "\x1b[36mray::_Worker.__init__()\x1b[39m (pid=14993, ip=10.0.0.2)\n"
        "ModuleNotFoundError: No module named 'clipcache'"
    )
    why = r"did not start \(ModuleNotFoundError: No module named 'clipcache'\); all machines need"
    with pytest.raises(EngineError, match=why):
        done_by(FakeRay(deaf=99, last_words=words), 5, 2)


def test_who_cannot_be_reached_is_ended_for_it_may_live() -> None:
    ray = FakeRay(away={4: 1}, deaf=1)
    crew, found = done_by(ray, 9, 2)
    assert sorted(found) == list(range(9))
    crew.end()
    assert ray.ended == set(ray.made), "nobody keeps a processor"


def test_a_worker_that_took_too_much_memory_is_replaced() -> None:
    assert sorted(done_by(FakeRay(fatal={4: 1}, said=Starved), 9, 2)[1]) == list(range(9))


def test_a_fault_of_a_machine_is_a_line_and_one_of_ours_is_not() -> None:
    full = FakeRay(wrong=3, fault=OSError("No space left on device"))
    with pytest.raises(EngineError, match=r"\(No space left on device\); see to its machine"):
        done_by(full, 9, 2)
    with pytest.raises(Failed):
        done_by(FakeRay(wrong=3, fault=TypeError("a bug")), 9, 2)


def test_what_a_worker_raises_is_raised_and_the_crew_goes_on() -> None:
    ray = FakeRay(wrong=3)
    crew = Crew(ray, ray.new)
    crew.hire(2)
    with pytest.raises(CacheDamagedError, match="chunk 3 is gone"):
        list(crew.do(range(9), ray.promise))
    ray.wrong = -1
    assert sorted(crew.do(range(9), ray.promise)) == list(range(9))
    crew.end()
    assert ray.ended == set(ray.made)


def test_no_worker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay()
    monkeypatch.setattr(ray, "wait", lambda promises, timeout: ([], None))
    with pytest.raises(EngineError, match="no Ray worker came within 120 s"):
        done_by(ray, 5, 2)


def test_room_is_what_each_worker_gets() -> None:
    def there(**resources: float) -> Any:
        return SimpleNamespace(cluster_resources=lambda: resources)

    assert room(there(CPU=7.0), cpus=2) == 3
    assert room(there(CPU=8.0, GPU=3.0), cpus=1, gpus=1) == 3
    assert room(there(CPU=2.0, GPU=3.0), cpus=1, gpus=0.5) == 2
    assert room(there(CPU=0.0), cpus=1) == 1


def test_every_gpu_has_a_worker_and_these_share_the_processors() -> None:
    def there(*machines: tuple[float, float]) -> Any:
        nodes = [{"Alive": True, "Resources": {"CPU": c, "GPU": g}} for c, g in machines]
        gone = {"Alive": False, "Resources": {"CPU": 1.0, "GPU": 9.0}}
        return SimpleNamespace(nodes=lambda: [*nodes, gone])

    assert share(there((64, 4)), gpus=1, most=99) == 16
    assert share(there((64, 4)), gpus=0.5, most=99) == 8
    assert share(there((64, 4)), gpus=1, most=3) == 3
    assert share(there((64, 0), (8, 4), (16, 2)), gpus=1, most=99) == 2
    assert share(there((2, 4)), gpus=1, most=99) == 1


def test_no_cluster_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # or it would stay
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for address, why in ((f"127.0.0.1:{port}", "refused"), ("nowhere", "Invalid address format")):
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(EngineError, match=f"RAY_ADDRESS={address} .*{why}.*`ray status`"):
            connected()


def test_a_cache_that_workers_do_not_find_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match=r"no cache at .*c\.zarr: it must be in a folder"):
        require_shared(tmp_path / "c.zarr")
    with s3_server(monkeypatch) as address:
        make_bucket(address, "bucket")
        with pytest.raises(EngineError, match="no cache at s3://bucket/c: all machines need"):
            require_shared("s3://bucket/c")
