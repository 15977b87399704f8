from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.arrays import RowIds
from clipcache.heads.base import LinearWeights
from clipcache.kernels.entropy import entropy
from clipcache.kernels.margin import margin
from clipcache.pool import Clock, Pool
from tests.chunked import InChunks
from tests.reference import entropy_twin, margin_twin, softmax
from tests.strategies.pools import random_pool

POOL = random_pool()


def exact_logits(pool: Pool, rows: RowIds) -> npt.NDArray[np.float64]:
    """Return what the linear head of a random pool says in float64."""
    assert isinstance(pool.head, LinearWeights)
    return pool.features[rows].astype(np.float64) @ pool.head.weight + pool.head.bias


def test_top_is_the_best_of_score() -> None:
    scores = POOL.score(margin)
    rows, best = POOL.top(margin, 15)
    order = np.lexsort((POOL.unlabeled, -scores))[:15]
    np.testing.assert_array_equal(rows, POOL.unlabeled[order])
    np.testing.assert_allclose(best, scores[order], atol=1e-5)
    np.testing.assert_allclose(best, margin_twin(exact_logits(POOL, rows)), atol=1e-7)


@given(st.sets(st.integers(0, 399), min_size=1))
def test_restricted_is_the_same_as_scoring_the_part(inside: set[int]) -> None:
    part = POOL.restrict(np.array(sorted(inside, reverse=True)))
    expected = sorted(inside & set(POOL.unlabeled.tolist()))
    assert part.unlabeled.tolist() == expected
    everything = dict(zip(POOL.unlabeled.tolist(), POOL.score(margin).tolist(), strict=True))
    found = part.score(margin).tolist()
    assert found == pytest.approx([everything[row] for row in expected], abs=1e-5)
    rows, _ = part.top(margin, 7)
    assert set(rows.tolist()) <= set(expected)
    assert len(rows) == min(7, len(expected))


def test_restricting_changes_nothing_else() -> None:
    before = POOL.unlabeled.copy()
    part = POOL.restrict(POOL.unlabeled[:9])
    np.testing.assert_array_equal(POOL.unlabeled, before)
    assert part.features is POOL.features
    assert part.labeled is POOL.labeled
    assert part.labels is POOL.labels
    assert part.head is POOL.head


def test_shortlist_is_the_likeliest_classes_and_their_probabilities() -> None:
    rows = POOL.unlabeled[[5, 2, 9]]
    p = softmax(exact_logits(POOL, rows))
    order = np.argsort(-p, axis=1)
    for k in (1, 3, 5):
        classes, probs = POOL.shortlist(rows, k)
        assert (classes.dtype, probs.dtype) == (np.int64, np.float32)
        np.testing.assert_array_equal(classes, order[:, :k])
        np.testing.assert_allclose(probs, np.take_along_axis(p, classes, axis=1), atol=1e-6)
    np.testing.assert_array_equal(POOL.shortlist(rows)[0], order)


def test_rows_may_be_in_chunks() -> None:
    pool = replace(POOL, features=InChunks(POOL.features, 64))
    for found, expected in zip(pool.top(margin, 40), POOL.top(margin, 40), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(pool.score(entropy), POOL.score(entropy))
    np.testing.assert_array_equal(
        pool.embeddings(pool.unlabeled[::-3]), POOL.embeddings(POOL.unlabeled[::-3])
    )


def test_embeddings_are_the_cache_in_float32() -> None:
    rows = POOL.unlabeled[[3, 1]]
    found = POOL.embeddings(rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, POOL.features[rows])


def test_scores_are_those_of_the_twin() -> None:
    logits = exact_logits(POOL, POOL.unlabeled)
    np.testing.assert_allclose(POOL.score(entropy), entropy_twin(logits), atol=1e-5)


def test_clock_counts_scoring_also_of_a_restricted_pool() -> None:
    pool = replace(POOL, clock=Clock())
    assert pool.clock.seconds == 0
    pool.restrict(pool.unlabeled[:50]).top(margin, 3)
    first = pool.clock.seconds
    pool.score(margin)
    assert 0 < first < pool.clock.seconds
