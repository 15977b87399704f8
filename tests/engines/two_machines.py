"""A Ray cluster of two nodes, whose workers embed and score while some are killed.

Run as a program: in a process of its own, since Ray leaves threads and files behind that are not
ours to judge.
"""

import json
import logging
import os
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}

import numpy as np
import ray
from ray.cluster_utils import Cluster

from clipcache import scoring
from clipcache.arrays import Logits, Vectors
from clipcache.cache.layout import Columns
from clipcache.cache.reader import EmbeddingCache
from clipcache.embed import EmbedOptions, embed
from clipcache.encoders.base import Encoder
from clipcache.engines.ray import Ray
from clipcache.engines.scores import OnCluster
from clipcache.errors import EncoderError, EngineError
from clipcache.images.folder import Folder
from clipcache.kernels.margin import margin
from clipcache.projection import HasLogits
from clipcache.threads import available_threads
from tests.engines.living import lives
from tests.engines.questions import (
    HEAD,
    UNLABELED,
    C,
    N,
    RowByRow,
    answers,
    batches,
    pool_cache,
    pool_columns,
)
from tests.real_encoder import tiny
from tests.synthetic import columns

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
        if before >= self.free:
            (self.diary / f"waits {os.getpid()}").touch()
        while before >= self.free and not (self.diary / "go").exists():
            time.sleep(0.02)
        time.sleep(0.02)
        return super().logits(block)


FREE = 3
"""Blocks that are looked at before a machine is lost."""


def asked(rows: OnCluster, head: HasLogits) -> list[int] | str:
    """Return the best rows, or why there are none."""
    try:
        return scoring.top(rows, UNLABELED, head, margin, 50)[0].tolist()
    except EngineError as error:
        return str(error)


def watched(rows: OnCluster, diary: Path, *, deaths: int = 0, free: int = 99) -> dict[str, Any]:
    """Return the best rows, and how many blocks were looked at by how many workers."""
    diary.mkdir()
    fatal = rows[UNLABELED[UNLABELED // CHUNK_ROWS == FATAL]].astype(np.float32).sum()
    best = asked(rows, Watched(diary, float(fatal), deaths, free))
    workers = [path.name.split()[2] for path in diary.glob("block *")]
    return {"best": best, "blocks": len(workers), "workers": len(set(workers))}


def lose(cluster: Cluster, node: Any, diary: Path) -> None:
    """Lose a machine with two workers while all three wait, and let the third one go on."""
    while len(waiting := list(diary.glob("waits *"))) < 3:
        time.sleep(0.02)
    cluster.remove_node(node, allow_graceful=False)
    while sum(lives(int(path.name.split()[1])) for path in waiting) > 1:
        time.sleep(0.02)
    (diary / "go").touch()


def by_all(rows: OnCluster, folder: Path) -> dict[str, Any]:
    """Return the same, once all three workers are there."""
    for turn in count():
        found = watched(rows, folder.with_name(f"{folder.name} {turn}"))
        if found["workers"] == 3:
            return found
    raise AssertionError


def vanished_head(folder: Path) -> HasLogits:
    """Return a head of a module that only this process has, as if workers had not installed it."""
    path = folder / "vanished.py"
    path.write_text("from tests.engines.questions import RowByRow\nclass Head(RowByRow): ...\n")
    sys.path.insert(0, str(folder))
    head: HasLogits = import_module("vanished").Head()
    path.unlink()
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    return head


def changed(folder: Path, values: Columns) -> list[int] | str:
    """Return what is found where the cache changes before the workers open it."""
    rows = OnCluster(pool_cache(folder, 1000, pool_columns()), N)
    pool_cache(folder, 1000, values)
    return asked(rows, HEAD)


def embedding(work: Path, cluster: Cluster) -> dict[str, Any]:
    """Embed photos, and lose a machine on the way."""
    second = cluster.add_node(num_cpus=1)
    found: dict[str, Any] = {"workers": 0, "killed": None, "done": 0}

    def tell(done: int, failed: int, total: int) -> None:
        found["done"] = done
        found["workers"] = max(found["workers"], 2 - int(ray.available_resources().get("CPU", 0)))
        if done >= 16 and found["killed"] is None:
            found["killed"] = done
            cluster.remove_node(second, allow_graceful=False)

    options = EmbedOptions(batch_size=5, workers=1, chunk_rows=8)
    embed(Folder(work / "photos"), tiny(), work / "embedded", options, tell, engine=Ray(tiny))
    return found


def seen() -> Encoder:
    """Tell what a worker has, in place of an encoder."""
    gpus = len(ray.get_gpu_ids())
    raise EncoderError(f"{available_threads()} processors and {gpus} GPU")


def beside_gpus(work: Path, cluster: Cluster) -> list[str]:
    """Return what workers have that ask for a GPU, before the cluster has one, and then."""
    found = []
    for more in ({}, {"num_cpus": 3, "num_gpus": 1}):
        if more:
            cluster.add_node(**more)
        options = EmbedOptions(batch_size=5, workers=9, chunk_rows=8)
        engine = Ray(seen, gpus=1)
        try:
            embed(Folder(work / "photos"), tiny(), work / "on a GPU", options, engine=engine)
        except EncoderError as error:
            found.append(str(error))
    return found


def score(work: Path, cluster: Cluster) -> dict[str, Any]:
    """Score pools, and lose workers and a machine on the way."""
    second = cluster.add_node(num_cpus=2)
    large, small = (EmbeddingCache.open(work / str(size)) for size in (1000, CHUNK_ROWS))
    found: dict[str, Any] = {"large": answers(OnCluster(large, N))}  # whose workers end here
    found["run"] = batches(large, work / "on a cluster", "ray")
    pool = pool_columns()
    more = {name: np.concatenate([values, values[:99]]) for name, values in pool.items()}
    found["grown"] = changed(work / "grown", more)
    found["other"] = changed(work / "other", columns(N, C))
    rows = OnCluster(small, N)
    found["small"] = answers(rows)
    found["no head"] = asked(rows, vanished_head(work))
    found["whole"] = by_all(rows, work / "whole")
    found["killed"] = watched(rows, work / "killed", deaths=1)
    found["killed again and again"] = watched(rows, work / "again and again", deaths=99)
    by_all(rows, work / "whole again")
    Thread(target=lose, args=(cluster, second, work / "lost"), daemon=True).start()
    found["lost"] = watched(rows, work / "lost", free=FREE)
    found["afterwards"] = watched(rows, work / "afterwards")
    return found


def main(work: Path) -> None:
    """Embed, score, embed beside GPUs, and print what was found."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    found = {"embedded": embedding(work, cluster)} | score(work, cluster)
    found["beside GPUs"] = beside_gpus(work, cluster)
    sys.stdout.write(json.dumps(found) + "\n")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
