"""The streamed best k against sorting everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcache import scoring
from clipcache.arrays import Features, Logits, RowIds, Scores, Vectors
from clipcache.errors import ArrayError
from clipcache.heads.base import LinearWeights
from clipcache.kernels.margin import margin
from tests.reference import margin_twin


class Identity:
    """Logits are the embedding itself."""

    def logits(self, block: Vectors) -> Logits:
        """Return the block."""
        assert block.dtype == np.float32
        return block


def first_column(logits: Logits) -> Scores:
    return logits[:, 0]


def argsort_twin(features: Features, rows: RowIds, k: int) -> tuple[list[int], list[float]]:
    """Return the k best of the first column: all scores in float64, sorted, ties by row."""
    scores = features[rows, 0].astype(np.float64)
    order = sorted(range(len(rows)), key=lambda i: (-scores[i], rows[i]))[:k]
    return [int(rows[i]) for i in order], [float(scores[i]) for i in order]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Features, RowIds, int, int]:
    """Draw (features, rows, k, block): few different values, so that most scores are tied."""
    n = draw(st.integers(1, 80))
    values = draw(st.sampled_from([[0.5], [0, 1], [-2, -1, 0, 0.25, 7], list(range(50))]))
    column = draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))
    chosen = draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    features = np.array(column, dtype=np.float16).reshape(n, 1)
    k = draw(st.integers(0, n + 5))
    return features, np.array(chosen, dtype=np.int64), k, draw(st.integers(1, 30))


@given(problems())
def test_top_is_the_head_of_the_sorted_whole(problem: tuple[Features, RowIds, int, int]) -> None:
    features, rows, k, block = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BLOCK", block)
        found, scores = scoring.top(features, rows, Identity(), first_column, k)
    assert found.dtype == np.int64
    assert scores.dtype == np.float32
    assert (found.tolist(), scores.tolist()) == argsort_twin(features, rows, k)


@given(problems())
def test_scores_come_in_the_order_of_the_rows(
    problem: tuple[Features, RowIds, int, int],
) -> None:
    features, rows, _, block = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BLOCK", block)
        scores = scoring.score(features, rows, Identity(), first_column)
        parts = list(scoring.blocks(features, rows))
    assert scores.dtype == np.float32
    assert scores.tolist() == features[rows, 0].tolist()
    assert [row for part, _ in parts for row in part.tolist()] == rows.tolist()
    assert all(1 <= len(part) <= block for part, _ in parts)
    for part, vectors in parts:
        assert vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, features[part])


def test_a_real_head_and_kernel_over_several_blocks(rng: np.random.Generator) -> None:
    features = rng.standard_normal((5000, 16)).astype(np.float16)
    features[1000:2000] = features[:1000]  # every score of these twice
    features.setflags(write=False)
    head = LinearWeights(rng.standard_normal((16, 9)).astype(np.float32), np.zeros(9, np.float32))
    rows = np.arange(0, 5000, 1)
    found, scores = scoring.top(features, rows, head, margin, 700)
    logits = features.astype(np.float64) @ head.weight.astype(np.float64)
    exact = margin_twin(logits)  # type: ignore[arg-type]
    np.testing.assert_allclose(scores, exact[found], atol=1e-5)
    left = np.setdiff1d(rows, found)
    assert exact[left].max() <= exact[found].min() + 1e-5
    assert (np.diff(scores) <= 0).all()
    same = np.diff(scores) == 0
    assert same.sum() > 50
    assert (np.diff(found)[same] > 0).all()


@pytest.mark.parametrize("function", ["top", "score"])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_not_a_number_is_an_error_that_names_the_row(
    function: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = np.zeros((30, 3), dtype=np.float16)
    features[[17, 18], 1] = np.nan
    features[5, 0] = np.inf
    features[25] = np.nan  # not among the rows: nobody looks at it
    rows = np.array([1, 18, 17, 3, 4])
    monkeypatch.setattr(scoring, "BLOCK", block)
    extra = (3,) if function == "top" else ()
    with pytest.raises(ArrayError, match="row 18 the first"):
        getattr(scoring, function)(features, rows, Identity(), margin, *extra)
    with pytest.raises(ArrayError, match="of 1 rows is not a number, row 5"):
        getattr(scoring, function)(features, np.array([2, 5]), Identity(), margin, *extra)


def test_no_rows_no_scores() -> None:
    features, none = np.zeros((4, 3), dtype=np.float16), np.empty(0, dtype=np.int64)
    assert scoring.score(features, none, Identity(), margin).shape == (0,)
    rows, scores = scoring.top(features, none, Identity(), margin, 3)
    assert (rows.dtype, scores.dtype, len(rows), len(scores)) == (np.int64, np.float32, 0, 0)


def test_memory_is_a_block_and_not_the_pool() -> None:
    seen: list[int] = []

    class Spy(Identity):
        def logits(self, block: Vectors) -> Logits:
            seen.append(len(block))
            return block

    features = np.zeros((3 * scoring.BLOCK + 1, 2), dtype=np.float16)
    scoring.top(features, np.arange(len(features)), Spy(), first_column, 5)
    assert seen == [scoring.BLOCK] * 3 + [1]
