"""The same rows give the same answers wherever they are, whoever works on them, in any order."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clipcache import projection, scoring
from clipcache.arrays import Features, Logits, RowIds, Scores, Vectors
from clipcache.errors import CacheDamagedError
from clipcache.features import Rows
from clipcache.heads.base import LinearWeights
from clipcache.kernels.entropy import entropy
from clipcache.kernels.margin import margin
from tests.chunked import InChunks
from tests.reference import normal

N, D, C = 300, 37, 9
POOL = (normal(N, D) / 18).astype(np.float16)
POOL[200:] = POOL[:100]
POOL.setflags(write=False)
HEAD = LinearWeights(normal(D, C), normal(1, C)[0])
ROWS = np.flatnonzero(np.arange(N) % 7)

Answers = tuple[RowIds, Scores, Scores, RowIds, Scores]


def answers(features: Rows, rows: RowIds = ROWS, threads: int | None = None) -> Answers:
    best, scores = scoring.top(features, rows, HEAD, margin, 50, threads=threads)
    every = scoring.score(features, rows, HEAD, entropy, threads=threads)
    classes, probs = scoring.shortlist(features, rows, HEAD, 3, threads=threads)
    return best, scores, every, classes, probs


EXPECTED = answers(POOL, threads=1)


def assert_same(found: Answers, order: RowIds | slice = slice(None)) -> None:
    """Compare bit by bit; `order` is that of the rows, which best rows do not depend on."""
    for place, (one, other) in enumerate(zip(found, EXPECTED, strict=True)):
        np.testing.assert_array_equal(one, other if place < 2 else other[order])


def _mapped(folder: Path) -> Features:
    POOL.tofile(folder / "pool")
    return np.memmap(folder / "pool", np.dtype("<f2"), "r", shape=POOL.shape)


SOURCES: dict[str, Callable[[Path], Rows]] = {
    "writable": lambda _: POOL.copy(),
    "mapped": _mapped,
    "float32": lambda _: POOL.astype(np.float32),
    "in Fortran order": lambda _: np.asfortranarray(POOL),
    "every other column": lambda _: np.repeat(POOL, 2, axis=1)[:, ::2],
    "every other row": lambda _: np.repeat(POOL, 2, axis=0)[::2],
    "backwards": lambda _: POOL[::-1].copy()[::-1],
    "chunks of one row": lambda _: InChunks(POOL, 1),
    "chunks of 64": lambda _: InChunks(POOL, 64),
    "one chunk": lambda _: InChunks(POOL, 1000),
    "chunks of a map": lambda folder: InChunks(_mapped(folder), 99),
    "chunks in Fortran order": lambda _: InChunks(np.asfortranarray(POOL), 64),
}


@pytest.mark.parametrize("threads", [1, 2, 5, None])
@pytest.mark.parametrize("make", SOURCES.values(), ids=SOURCES)
def test_wherever_the_rows_are(
    tmp_path: Path, make: Callable[[Path], Rows], threads: int | None
) -> None:
    assert_same(answers(make(tmp_path), threads=threads))


@pytest.mark.parametrize("make", [np.asarray, lambda pool: InChunks(pool, 64)])
def test_whatever_the_order_of_the_rows(
    make: Callable[[Features], Rows], rng: np.random.Generator
) -> None:
    order = rng.permutation(len(ROWS))
    assert_same(answers(make(POOL), ROWS[order]), order)


@pytest.mark.parametrize("block", [1, 7, 48, 1000])
def test_whatever_the_size_of_a_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection, "LEAST", block)
    monkeypatch.setattr(projection, "BLOCK", block)
    assert_same(answers(POOL, threads=2))


def test_sorted_rows_read_each_chunk_once_and_no_other() -> None:
    stored = InChunks(POOL, 30)
    scoring.score(stored, np.array([0, 29, 31, 200, 201, 209]), HEAD, margin, threads=2)
    assert stored.reads == [0, 1, 6]


class Seen:
    """A head that keeps count of its blocks."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def logits(self, block: Vectors) -> Logits:
        """Return the block."""
        self.blocks.append(len(block))
        return block


def test_memory_is_a_block_and_not_the_pool() -> None:
    head, n = Seen(), 2 * projection.BLOCK + 1
    scoring.score(np.ones((n, 2), dtype=np.float16), np.arange(n), head, margin, threads=1)
    assert sum(head.blocks) == n
    assert max(head.blocks) <= projection.BLOCK


@pytest.mark.parametrize("threads", [1, 3])
def test_a_chunk_that_cannot_be_read_is_an_error(threads: int) -> None:
    class Damaged(InChunks):
        def read(self, chunk: int) -> Features:
            if chunk == 3:
                raise CacheDamagedError("chunk 3 is gone")
            return super().read(chunk)

    with pytest.raises(CacheDamagedError, match="chunk 3 is gone"):
        scoring.top(Damaged(POOL, 20), ROWS, HEAD, margin, 5, threads=threads)
