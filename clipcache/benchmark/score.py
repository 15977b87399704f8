"""How fast this machine scores a pool, beside what nobody can beat and what others do.

Each case runs in a process of its own, so that its peak of memory is its own. Whoever is compared
takes turns, so that a noisy machine is noisy for all; medians are reported.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from clipcache import scoring
from clipcache.arrays import RowIds
from clipcache.benchmark import pools
from clipcache.benchmark.memory import forget_peak, peak_mb
from clipcache.benchmark.peers import K, Task, peers, products, reading
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.stored import StoredEmbeddings
from clipcache.dataset import Dataset
from clipcache.errors import ClipcacheError
from clipcache.features import Rows
from clipcache.kernels.margin import margin
from clipcache.learner import History, Learner
from clipcache.run_config import RunConfig
from clipcache.scoring import Query

REPORT_ROWS = 246_841
"""The pool of the report that this project began with."""
DIM = 512
HEADS = 10
LABELS = 220
TESTED = 2000
"""Images that a round is measured on."""
ROUNDS = {
    "a round, margin": RunConfig(strategy="margin", head="linear"),
    "a round, defaults": RunConfig(),
}
SECONDS = 12.0
"""About how long the turns of a case go on."""
TURNS = range(3, 26)
PEER_NUMBERS = 60_000_000
"""Probabilities that peers, who hold all of them at a time, are asked for at most."""
PROBABLE_PEERS = 260_000
"""Rows above which only numpy and torch are asked: the others copy the pool in float64."""


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    what: str
    """"memory" or "zarr": where the pool is. "heads": ten at once. Or one of `ROUNDS`."""
    rows: int
    classes: int
    dim: int = DIM
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Return what the table calls it."""
        kind = {"memory": "in memory", "zarr": "from Zarr", "heads": f"{HEADS} heads at once"}
        return f"{self.rows:,} x {self.classes}, {kind.get(self.what) or self.what}"


@dataclass(frozen=True)
class Timing:
    """What a case gave; times are medians in milliseconds."""

    name: str
    rows: int
    dim: int
    classes: int
    ours_ms: float
    floor_ms: float | None
    """The faster of numpy's and torch's blocked float32 product of a float32 pool, alone."""
    floors: dict[str, float] = field(default_factory=dict)
    """Those two, and the reading of the pool alone."""
    peers: dict[str, float] = field(default_factory=dict)
    peak_mb: float = 0.0
    """Peak of resident memory until our first answer, above that of the imports; the pool counts
    where it is in memory."""


def default_cases(device: str = "cpu") -> list[Case]:
    """Return the cases of the table."""
    in_memory = [
        Case("memory", 62_000, 40),
        *(Case("memory", REPORT_ROWS, classes) for classes in (10, 40, 200, 1000)),
        Case("memory", 1_000_000, 40),
        Case("heads", REPORT_ROWS, 40),
        *(Case(what, REPORT_ROWS, 40) for what in ROUNDS),
    ]
    on_disk = [Case("zarr", REPORT_ROWS, 40), Case("zarr", 4_000_000, 40)]
    return [Case(**{**asdict(c), "device": device}) for c in (*in_memory, *on_disk)]


def run_cases(cases: Sequence[Case], folder: Path | None = None) -> Iterator[Timing]:
    """Measure the cases one after the other, each in a new process.

    `folder` is where pools on disk are put and removed again, 2 bytes a number; the system's
    folder for temporary files by default.
    """
    for case in cases:
        with tempfile.TemporaryDirectory(dir=folder, prefix="clipcache-bench-") as place:
            if case.what == "zarr":
                pools.on_disk(Path(place) / "pool.zarr", case.rows, case.dim, case.classes)
            command = [sys.executable, "-P", "-m", __name__, json.dumps(asdict(case)), place]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                killed = "it was killed; give --rows a smaller number where memory is short"
                reason = (done.stderr.strip().splitlines() or [killed])[-1]
                raise ClipcacheError(f"the case {case.name} failed: {reason}")
            yield Timing(**json.loads(done.stdout.splitlines()[-1]))


def measure(case: Case, place: Path) -> Timing:
    """Measure one case in this process."""
    before = forget_peak()
    if case.what == "zarr":
        cache = EmbeddingCache.open(place / "pool.zarr")
        features: Rows = StoredEmbeddings(cache, case.rows)
    else:
        features, labels = pools.in_memory(case.rows, case.dim, case.classes)
    whole = features
    if case.device != "cpu":
        from clipcache.device import OnDevice

        features = OnDevice(features, case.device)
    rows = np.arange(case.rows)
    head = pools.head(case.dim, case.classes)
    ours: Task = lambda: scoring.top(features, rows, head, margin, K)  # noqa: E731
    others: dict[str, Task] = {}
    floors: dict[str, Task] = {}
    if case.what == "heads":
        heads = [pools.head(case.dim, case.classes, number) for number in range(HEADS)]
        ours = lambda: scoring.top_each(features, rows, [Query(h, margin, K) for h in heads])  # noqa: E731
        others["ten passes"] = lambda: [scoring.top(features, rows, h, margin, K) for h in heads]
    elif case.what in ROUNDS:
        ours = _round(case, whole, labels)
    ours()
    peak = peak_mb() - before
    if case.what == "memory" and isinstance(features, np.ndarray):
        x = features.astype(np.float32)
        floors = dict(products(x, head)) | {"reading": reading(features)}
        if case.rows * case.classes <= PEER_NUMBERS:
            few = case.rows <= PROBABLE_PEERS
            others = {n: f for n, f in peers(x, head) if few or n in ("numpy", "torch")}
    medians = take_turns({"ours": ours} | floors | others)
    both = [medians[name] for name in floors if name.endswith("product")]
    return Timing(
        name=case.name,
        rows=case.rows,
        dim=case.dim,
        classes=case.classes,
        ours_ms=medians["ours"],
        floor_ms=min(both) if both else None,
        floors={name: medians[name] for name in floors},
        peers={name: medians[name] for name in others},
        peak_mb=round(peak, 1),
    )


def take_turns(tasks: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of each task in milliseconds, all taking turns after a first one."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    began = time.perf_counter()
    for turn in range(TURNS.stop):
        if turn > TURNS.start and time.perf_counter() - began > SECONDS:
            break
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: round(statistics.median(found[1:]), 2) for name, found in times.items()}


def _round(case: Case, features: Rows, labels: RowIds) -> Task:
    """Return a round of active learning with some labels: fit, measure, score all, choose."""
    rows = np.arange(case.rows)
    names = tuple(map(str, range(case.classes)))
    tested = min(TESTED, case.rows // 4)
    data = Dataset(features, labels, rows[tested:], rows[:tested], names, None, "made up")
    learner = Learner(data, ROUNDS[case.what], device=case.device)
    size = min(LABELS, case.rows // 2)
    asked = np.random.default_rng(3).choice(learner.pool, size=size, replace=False)
    return lambda: learner.close(History([asked], [labels[asked]]))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of the peers
    print(json.dumps(asdict(measure(Case(**json.loads(sys.argv[1])), Path(sys.argv[2])))))  # noqa: T201
