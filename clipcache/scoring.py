"""A head over the whole pool, block by block, keeping the best k: fast, and exact all the same.

Each thread takes a segment of rows and goes through it in blocks that stay in its cache: product,
measure, and who may be among the best k (`contenders.py`). All of that is float32, of which it is
known how far it can be off; the few rows that it cannot tell apart are scored again in float64.
The result is therefore what a plain float64 loop over the pool would give, ties by row, on any
number of threads and with any size of blocks. So parts of a pool can be scored by others, on other
machines (`Divided`), and the best rows of each merged here.

What was tried to get below the float32 product, and why it is not here. Measured on probes with 120
to 320 labels on five sets of real CLIP features, and with AVX-512 without bfloat16:

- Skipping rows whose score cannot have moved far enough since the last round: one more batch of
  labels moves the weights so far that on three of the sets at most 16 % could be skipped.
- Eight-bit integers first: that product is three times as fast, but what is certain of its error
  leaves 40 to 60 % of the rows to be scored again on three of the sets.
- Twelve-bit integers first: these leave 1 to 10 %, but an instruction does no more than twice as
  many of them as of float32, and the copy takes as much memory again as the pool.
- bfloat16 first: nearly three times slower where the processor has no instructions for it.
- A bound on the margin from the two best logits alone, to save exponentials: 5 % faster with 40
  classes, twice as slow with 1,000.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Protocol, runtime_checkable

import numpy as np

from clipcache.arrays import Float64, Labels, Probs, RowIds, Scores
from clipcache.contenders import Contenders, not_a_number
from clipcache.errors import ArrayError
from clipcache.features import Rows, Segment, read_ahead, segments
from clipcache.kernels.measure import Measure
from clipcache.projection import (
    Accelerated,
    Block,
    HasLogits,
    Projection,
    check_heads,
    exact_scores,
)
from clipcache.threads import available_threads, one_thread


@dataclass(frozen=True, eq=False)
class Query:
    """What one head is asked: its best `k` rows by a measure."""

    head: HasLogits
    measure: Measure
    k: int
    without: RowIds = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows that are not to be chosen, though other queries may choose them."""


Best = tuple[RowIds, Float64]
"""(k,) rows, best first, ties by row, and their exact scores."""


@runtime_checkable
class Divided(Protocol):
    """Rows whose parts others score."""

    def best_of_parts(self, rows: RowIds, queries: Sequence[Query]) -> Iterator[list[Best]]:
        """Yield what `best_each` finds in each part of the rows, in any order."""
        ...


def top(
    features: Rows,
    rows: RowIds,
    head: HasLogits,
    measure: Measure,
    k: int,
    *,
    threads: int | None = None,
) -> tuple[RowIds, Scores]:
    """Return the `k` of the given rows with the highest scores, best first, ties by row.

    Parameters
    ----------
    features : (n, d) float16 or float32: an array, a memory map, or chunks on disk.
    rows : (u,) int64, distinct; sorted, where they are on disk.
    head : linear heads are scored exactly as by a float64 loop; others in float32, as their
        `logits` come.
    threads : 1 or more; None takes all processors that this process may use.

    Returns
    -------
    (k,) rows and their float32 scores; fewer, where there are not as many.

    Raises
    ------
    ArrayError naming the rows that are not finite or whose score is NaN: they would be silent
    winners or losers. Also for rows that do not exist, heads of another width, and a negative `k`.
    """
    return top_each(features, rows, [Query(head, measure, k)], threads=threads)[0]


def top_each(
    features: Rows, rows: RowIds, queries: Sequence[Query], *, threads: int | None = None
) -> list[tuple[RowIds, Scores]]:
    """Answer several queries, as `top` would one after the other, reading the rows once."""
    best = best_each(features, rows, queries, threads=threads)
    with np.errstate(over="ignore"):  # an energy may be too large for float32
        return [(chosen, scores.astype(np.float32)) for chosen, scores in best]


def best_each(
    features: Rows, rows: RowIds, queries: Sequence[Query], *, threads: int | None = None
) -> list[Best]:
    """Answer them as `top_each`, with exact scores: the best of parts are the best of the whole."""
    everyone = [
        Contenders(q.k, q.without, exact_scores(features, q.head, q.measure)) for q in queries
    ]

    def visit(block: Block) -> None:
        for query, contenders, answer in zip(queries, everyone, block.answers, strict=True):
            place, scores, slack = answer.rivals(query.measure, query.k + len(query.without))
            contenders.offer(block.rows[place], scores, slack)

    heads = [query.head for query in queries]
    if isinstance(features, Divided):
        for part in features.best_of_parts(_checked(features, rows, heads), queries):
            for contenders, (chosen, scores) in zip(everyone, part, strict=True):
                contenders.offer(chosen, scores, 0.0)
    else:
        _each_block(features, rows, heads, visit, threads)
    return [contenders.best() for contenders in everyone]


def score(
    features: Rows, rows: RowIds, head: HasLogits, measure: Measure, *, threads: int | None = None
) -> Scores:
    """Return the (u,) scores of the given rows, as float32 makes them; errors as `top`."""
    out = np.empty(len(rows), dtype=np.float32)

    def visit(block: Block) -> None:
        out[block.place] = block.answers[0].scores(measure)

    _each_block(features, rows, [head], visit, threads)
    missing = np.isnan(out)
    if missing.any():  # float32 may overflow where float64 does not
        out[missing] = exact_scores(features, head, measure)(rows[missing])
    if np.isnan(out).any():
        raise ArrayError(not_a_number(rows[np.isnan(out)]))
    return out


def shortlist(
    features: Rows, rows: RowIds, head: HasLogits, k: int, *, threads: int | None = None
) -> tuple[Labels, Probs]:
    """Return the `k` likeliest classes of the given rows, for the people who label.

    As float32 makes them. Errors as `top`, and ArrayError where there are fewer than `k` classes.

    Returns
    -------
    classes : (u, k) int64, the likeliest first; of equal logits the lower class first.
    probs : (u, k) float32 softmax probabilities.
    """
    classes = np.empty((len(rows), k), dtype=np.int64)
    probs = np.empty((len(rows), k), dtype=np.float32)

    def visit(block: Block) -> None:
        classes[block.place], probs[block.place] = block.answers[0].shortlist(k)

    _each_block(features, rows, [head], visit, threads)
    missing = np.isnan(probs).any(axis=1)
    if missing.any():
        raise ArrayError(not_a_number(rows[missing]))
    return classes, probs


def _each_block(
    features: Rows,
    rows: RowIds,
    heads: Sequence[HasLogits],
    visit: Callable[[Block], None],
    threads: int | None,
) -> None:
    """Call `visit` with every block, from several threads at a time, in no order.

    Raises ArrayError once everything has been seen, naming the rows that are not finite.
    """
    rows = _checked(features, rows, heads)
    if isinstance(features, Accelerated):
        bad = features.each_block(rows, heads, visit)
    else:
        bad = _on_processors(features, rows, heads, visit, threads or available_threads())
    if bad:
        raise ArrayError(not_a_number(np.concatenate(bad)))


def _checked(features: Rows, rows: RowIds, heads: Sequence[HasLogits]) -> RowIds:
    """Return the rows as int64; ArrayError where they, or the heads, do not fit the features."""
    n, d = features.shape
    if features.dtype not in (np.float16, np.float32):
        raise ArrayError(f"rows must be float16 or float32, found {features.dtype}")
    if rows.dtype.kind not in "iu":
        raise ArrayError(f"rows are chosen by their numbers, found an array of {rows.dtype}")
    check_heads(heads, d)
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < n:  # compiled code would read on
        raise ArrayError(f"rows run from {rows.min()} to {rows.max()}, but there are {n}")
    return rows


def _on_processors(
    features: Rows,
    rows: RowIds,
    heads: Sequence[HasLogits],
    visit: Callable[[Block], None],
    threads: int,
) -> list[RowIds]:
    projection = Projection(heads, features.shape[1])
    bad: list[RowIds] = []
    todo, lock = segments(features, rows), Lock()
    if not isinstance(features, np.ndarray):
        todo = read_ahead(todo, depth=threads + 1)

    stop = Event()

    def work() -> None:
        while not stop.is_set() and (segment := _next(todo, lock)) is not None:
            for start in range(0, len(segment.rows), projection.block):
                part = slice(start, start + projection.block)
                answers, finite = projection(segment.array, segment.places[part])
                if not finite.all():
                    bad.append(segment.rows[part][~finite])
                place = slice(segment.start + start, segment.start + start + len(finite))
                visit(Block(place, segment.rows[part], answers))

    # A library's own threads would fight with ours for the processors.
    single = nullcontext() if projection.is_linear else one_thread()
    with single, closing(todo), ThreadPoolExecutor(threads) as workers:
        try:
            for done in [workers.submit(work) for _ in range(threads)]:
                done.result()
        finally:
            stop.set()  # where one has failed, the others need not go on
    return bad


def _next(todo: Iterator[Segment], lock: Lock) -> Segment | None:
    with lock:
        return next(todo, None)
