"""What is asked of a pool, wherever it is scored: the same rows must come out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache import registry, scoring
from clipcache.arrays import Logits, RowIds, Vectors
from clipcache.cache.layout import PARTS, Columns
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.features import Rows
from clipcache.heads.base import LinearWeights
from clipcache.kernels.disagreement import disagreement
from clipcache.kernels.energy import energy
from clipcache.kernels.entropy import entropy
from clipcache.kernels.margin import margin
from clipcache.people import open_run
from clipcache.pool import Pool
from clipcache.scoring import Query
from clipcache.strategies.base import Strategy
from clipcache.whitening import PoolSample
from tests.synthetic import DIM, columns, identity, text

N, C = 700, 8
RNG = np.random.default_rng(5)
HEAD = LinearWeights(
    (4 * RNG.standard_normal((DIM, C))).astype(np.float32),
    RNG.standard_normal(C).astype(np.float32),
)
LABELED = np.sort(RNG.choice(N, 30, replace=False))
UNLABELED = np.setdiff1d(np.arange(N), LABELED)


def pool_columns() -> dict[str, npt.NDArray[Any]]:
    """Return 700 rows of which most are there twice, so that they tie across chunks."""
    values = columns(N, C)
    values["embedding"][350:] = values["embedding"][:350]
    return values


def pool_cache(path: Path, chunk_rows: int, values: Columns) -> EmbeddingCache:
    """Write rows, to a cache that is there or not."""
    with CacheWriter.open(path, identity(), chunk_rows=chunk_rows) as writer:
        writer.grow(len(values["key"]))
        for part, names in PARTS.items():
            for chunk in range(writer.cache.chunks):
                span = writer.cache.span(chunk)
                writer.commit(part, chunk, {name: values[name][span] for name in names})
        writer.write_text(text(C))
    return EmbeddingCache.open(path)


@dataclass(frozen=True)
class RowByRow:
    """A head that is no weight matrix, and whose logits do not depend on what else is asked."""

    def logits(self, block: Vectors) -> Logits:
        """Return (b, c) logits."""
        return np.maximum((block[:, :, None] * HEAD.weight).sum(axis=1), 0) + HEAD.bias


def answers(features: Rows) -> dict[str, list[list[float]]]:
    """Return what was found, question -> rows and scores."""
    rng = np.random.default_rng(6)
    found = {}
    for k in (0, 1, 40, 41, 2000):
        found[f"margin {k}"] = scoring.top(features, UNLABELED, HEAD, margin, k)
    found["few rows"] = scoring.top(features, UNLABELED[::50], HEAD, energy, 9)
    found["no rows"] = scoring.top(features, UNLABELED[:0], HEAD, energy, 9)
    found["any order"] = scoring.top(features, rng.permutation(UNLABELED), HEAD, margin, 40)
    found["no weights"] = scoring.top(features, UNLABELED, RowByRow(), entropy, 60)
    found["four members"] = scoring.top(features, UNLABELED, HEAD, disagreement(4), 60)
    both = [Query(HEAD, margin, 30, without=UNLABELED[::3]), Query(RowByRow(), energy, 5)]
    for place, best in enumerate(scoring.top_each(features, UNLABELED, both)):
        found[f"together {place}"] = best
    sample = PoolSample(features, np.arange(N))
    pool = Pool(features, HEAD, UNLABELED, LABELED, LABELED % C, sample)
    for name in registry.names("strategies"):
        strategy: Strategy = registry.load("strategies", name)()
        for part in (pool, pool.restrict(np.arange(0, N, 3))):
            rows = strategy.select(part, 12, rng=np.random.default_rng(7))
            found[f"{name} {len(part.unlabeled)}"] = rows, rows
    return {name: [rows.tolist(), scores.tolist()] for name, (rows, scores) in found.items()}


def batches(cache: EmbeddingCache, folder: Path, engine: str) -> list[list[int]]:
    """Return what people are asked for, in a run that is left and opened again."""
    options = {"strategy": "margin", "init": "random:20", "batch": 5, "asks": "all", "held_out": 0}
    found: list[RowIds] = []
    for _ in range(2):
        run = open_run(folder, cache.path, engine=engine, **options)
        rows = run.propose()
        run.record(rows, cache.labels()[rows], annotator="somebody", source="test")
        run.propose()
        found = run.batches
        run.store.close()
    return [batch.tolist() for batch in found]
