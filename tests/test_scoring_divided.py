"""A pool whose parts others score: the same best rows, however it is divided."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache import scoring
from clipcache.arrays import Features, RowIds, Vectors
from clipcache.errors import ArrayError
from clipcache.features import Rows
from clipcache.heads.base import LinearWeights
from clipcache.kernels.entropy import entropy
from clipcache.kernels.margin import margin
from clipcache.scoring import Best, Query, best_each
from tests.chunked import InChunks
from tests.test_scoring import NAMES, assert_same, drawn_head, measure_of, problems


class InParts(InChunks):
    """Rows in parts, some of them empty, that come in any order."""

    def __init__(self, array: Features | Vectors, cuts: Sequence[int], seed: int) -> None:
        super().__init__(array, 7)
        self.asked = 0
        self._cuts = cuts
        self._rng = np.random.default_rng(seed)

    def best_of_parts(self, rows: RowIds, queries: Sequence[Query]) -> Iterator[list[Best]]:
        """Yield what is found in each part."""
        self.asked += 1
        places: npt.NDArray[Any] = self._rng.permutation(rows)
        parts = np.split(places, sorted(cut % (len(rows) + 1) for cut in self._cuts))
        for part in parts:
            yield best_each(self._array, part, queries)


@given(
    problems(), NAMES, st.lists(st.integers(0, 90), max_size=9), st.integers(0, 9), st.integers(0)
)
@settings(max_examples=200)
def test_the_best_of_parts_are_the_best_of_the_whole(
    problem: tuple[Features | Vectors, RowIds, LinearWeights, int],
    name: str,
    cuts: list[int],
    more: int,
    seed: int,
) -> None:
    pool, rows, head, k = problem
    queries = [Query(head, measure_of(name), k), Query(head, entropy, more, without=rows[::2])]
    divided: Rows = InParts(pool, cuts, seed)
    for found, expected in zip(
        scoring.top_each(divided, rows, queries),
        scoring.top_each(pool, rows, queries),
        strict=True,
    ):
        assert_same(found, expected)


def test_what_is_wrong_is_said_before_it_is_sent(rng: np.random.Generator) -> None:
    pool = np.ones((9, 4), dtype=np.float16)
    divided, head = InParts(pool, [3], 0), drawn_head("usual", 4, 3, rng)
    with pytest.raises(ArrayError, match="rows run from 0 to 9, but there are 9"):
        scoring.top(divided, np.arange(10), head, margin, 2)
    with pytest.raises(ArrayError, match="made for 5 dimensions"):
        scoring.top(divided, np.arange(9), drawn_head("usual", 5, 3, rng), margin, 2)
    assert not divided.asked
    pool[7] = np.nan
    with pytest.raises(ArrayError, match="rows 7"):
        scoring.top(divided, np.arange(9), head, margin, 2)
