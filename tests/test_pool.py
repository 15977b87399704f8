from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache.kernels.entropy import entropy
from clipcache.kernels.margin import margin
from clipcache.pool import Clock, Pool
from tests.reference import entropy_twin, softmax
from tests.strategies.pools import random_pool

POOL = random_pool()


def test_top_is_the_best_of_score() -> None:
    scores = POOL.score(margin)
    rows, best = POOL.top(margin, 15)
    order = np.lexsort((POOL.unlabeled, -scores))[:15]
    np.testing.assert_array_equal(rows, POOL.unlabeled[order])
    np.testing.assert_array_equal(best, scores[order])


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


def test_probs_are_the_softmax_of_the_head() -> None:
    rows = POOL.unlabeled[[5, 2, 9]]
    probs = POOL.probs(rows)
    logits = POOL.features[rows].astype(np.float64) @ POOL.head.weight + POOL.head.bias  # type: ignore[attr-defined]
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs, softmax(logits), atol=1e-6)
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)


def test_probs_of_huge_logits_are_finite() -> None:
    c = 3
    features = np.float16([[6e4, -6e4, 0], [6e4, 6e4, 0]])

    class Echo:
        def logits(self, block: np.ndarray) -> np.ndarray:
            return block

    none = np.empty(0, dtype=np.int64)
    pool = Pool(features, Echo(), np.arange(2), none, none)
    np.testing.assert_allclose(pool.probs(np.arange(2)), [[1, 0, 0], [0.5, 0.5, 0]])
    assert pool.probs(none).shape == (0, c)


def test_embeddings_and_blocks_are_the_cache_in_float32() -> None:
    rows = POOL.unlabeled[[3, 1]]
    found = POOL.embeddings(rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, POOL.features[rows])
    parts = list(POOL.blocks())
    np.testing.assert_array_equal(np.concatenate([p for p, _ in parts]), POOL.unlabeled)


def test_scores_are_those_of_the_twin() -> None:
    logits = POOL.embeddings(POOL.unlabeled).astype(np.float64) @ POOL.head.weight + POOL.head.bias  # type: ignore[attr-defined]
    np.testing.assert_allclose(POOL.score(entropy), entropy_twin(logits), atol=1e-5)


def test_clock_counts_scoring_also_of_a_restricted_pool() -> None:
    pool = replace(POOL, clock=Clock())
    assert pool.clock.seconds == 0
    pool.restrict(pool.unlabeled[:50]).top(margin, 3)
    first = pool.clock.seconds
    pool.score(margin)
    assert 0 < first < pool.clock.seconds
