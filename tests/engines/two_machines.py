"""A Ray cluster of two nodes, whose workers score pools while some are killed; run as a program.

In a process of its own, since Ray leaves threads and files behind that are not ours to judge.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

import numpy as np
import ray
from ray.cluster_utils import Cluster

from clipcache import scoring
from clipcache.arrays import Logits, RowIds, Vectors
from clipcache.cache.reader import EmbeddingCache
from clipcache.engines.scores import OnCluster
from clipcache.errors import EngineError
from clipcache.kernels.margin import margin
from clipcache.scoring import Best, Query
from tests.engines.questions import UNLABELED, N, RowByRow, answers, batches

CHUNK_ROWS = 50
FATAL = 5
"""The chunk that kills."""


@dataclass(frozen=True)
class Watched(RowByRow):
    """A head that leaves a file for each block; that of one chunk may kill whoever asks for it."""

    diary: Path
    fatal: float
    """Sum of the block that kills."""
    deaths: int
    """How often it does."""
    free: int
    """Blocks that are not kept waiting until there is a file `go`."""

    def logits(self, block: Vectors) -> Logits:
        """Return logits after a while."""
        if not len(block):  # nothing is left to be settled
            return super().logits(block)
        before = len(list(self.diary.glob("block *")))
        (self.diary / f"block {time.time_ns()} {os.getpid()}").touch()
        if block.sum() == self.fatal and len(list(self.diary.glob("death *"))) < self.deaths:
            (self.diary / f"death {time.time_ns()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while before >= self.free and not (self.diary / "go").exists():
            time.sleep(0.02)
        time.sleep(0.1)
        return super().logits(block)


FREE = 3
"""Parts that come back before a machine is lost."""


class Losing(OnCluster):
    """Rows for which a machine is lost while all workers are at something."""

    lose: Callable[[], None] | None = None

    def best_of_parts(self, rows: RowIds, queries: Sequence[Query]) -> Iterator[list[Best]]:
        """Yield what the others find."""
        for number, found in enumerate(super().best_of_parts(rows, queries), 1):
            if self.lose and number == FREE:
                self.lose()
            yield found


def watched(rows: OnCluster, diary: Path, *, deaths: int = 0, free: int = 99) -> dict[str, Any]:
    """Return the best rows, and how many blocks were looked at by how many workers."""
    diary.mkdir()
    fatal = rows[UNLABELED[UNLABELED // CHUNK_ROWS == FATAL]].astype(np.float32).sum()
    best: list[int] | str
    try:
        head = Watched(diary, float(fatal), deaths, free)
        best = scoring.top(rows, UNLABELED, head, margin, 50)[0].tolist()
    except EngineError as error:
        best = str(error)
    workers = [path.name.split()[2] for path in diary.glob("block *")]
    return {"best": best, "blocks": len(workers), "workers": len(set(workers))}


def by_all(rows: OnCluster, folder: Path) -> dict[str, Any]:
    """Return the same, once all three workers are there."""
    for turn in count():
        found = watched(rows, folder.with_name(f"{folder.name} {turn}"))
        if found["workers"] == 3:
            return found
    raise AssertionError


def main(work: Path) -> None:
    """Score, lose workers and a machine, and print what was found."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    large, small = (EmbeddingCache.open(work / str(size)) for size in (1000, CHUNK_ROWS))
    found: dict[str, Any] = {"large": answers(OnCluster(large, N))}  # whose workers end here
    found["run"] = batches(large, work / "on a cluster", "ray")
    rows = Losing(small, N)
    found["small"] = answers(rows)
    found["whole"] = by_all(rows, work / "whole")
    found["killed"] = watched(rows, work / "killed", deaths=1)
    found["killed again and again"] = watched(rows, work / "again and again", deaths=99)
    by_all(rows, work / "whole again")

    def lose() -> None:
        cluster.remove_node(second, allow_graceful=False)
        (work / "lost" / "go").touch()

    rows.lose = lose
    found["lost"] = watched(rows, work / "lost", free=FREE)
    rows.lose = None
    found["afterwards"] = watched(rows, work / "afterwards")
    sys.stdout.write(json.dumps(found) + "\n")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
