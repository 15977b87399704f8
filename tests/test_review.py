"""Wrong labels come to the top of a list, and right ones mostly stay off it."""

from pathlib import Path

import numpy as np
import pytest

from clipcache.arrays import Float64, Labels
from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import RunError
from clipcache.labels import DECISION
from clipcache.review import find_doubts, review
from tests.labelled_run import labelled_run, tell_truth


def slow(probs: Float64, labels: Labels) -> list[tuple[int, int]]:
    """The definition, by loops."""
    found = []
    for row, given in enumerate(labels.tolist()):
        best = max(range(probs.shape[1]), key=lambda c: probs[row, c])
        if best != given:
            found.append((probs[row, given], row, best))
    return [(row, best) for _, row, best in sorted(found)]


@pytest.mark.parametrize("seed", range(20))
def test_as_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(5, 0.5), 40)
    labels = rng.integers(0, 4, 40)
    found = find_doubts(probs, labels)
    assert list(zip(found.places.tolist(), found.instead.tolist(), strict=True)) == slow(
        probs, labels
    )


def test_wrong_labels_come_first(tmp_path: Path, finished_cache: EmbeddingCache) -> None:
    truth = finished_cache.labels()
    with labelled_run(tmp_path / "run", finished_cache, rounds=12) as run:
        rows, _ = run.labelled()
        wrong = np.random.default_rng(0).choice(rows, 6, replace=False)
        mistaken = (truth[wrong] + 3) % 8
        run.record(wrong, mistaken, annotator="bob", source="page")
        alone = run.add_class("cape", annotator="ann")  # which is not judged
        run.record(rows[:1], [alone], annotator="ann", source="page")
        doubts = review(run)
        found = [doubt.row in wrong for doubt in doubts]
        assert sum(found[:12]) >= 3  # 0.5 by chance
        assert sum(found) >= 5
        assert len(doubts) < len(rows) / 2
        given = dict(zip(*map(np.ndarray.tolist, run.labelled()), strict=True))
        for doubt in doubts:
            planted = doubt.row in wrong
            assert doubt.annotators == (("bob",) if planted else ("ann",))
            assert doubt.key == f"{doubt.row:06d}.jpg"
            assert doubt.label == run.names[given[doubt.row]]
            assert doubt.instead != doubt.label
        likely = [doubt.probability for doubt in doubts]
        assert likely == sorted(likely)
        assert review(run, 3) == doubts[:3]


def test_what_was_decided_has_been_looked_at_twice(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    with labelled_run(tmp_path / "run", finished_cache, rounds=6) as run:
        first, *others = review(run)
        wrong = run.names.index(first.label)
        run.record([first.row], [wrong], annotator="chief", source=DECISION)
        assert review(run) == others


def test_where_no_class_has_two_labels_nothing_is_doubted(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    truth = finished_cache.labels()
    with labelled_run(tmp_path / "run", finished_cache, rounds=0) as run:
        with pytest.raises(RunError, match="label images first"):
            review(run)
        run.propose()
        some = [int(run.pool[truth[run.pool] == k][0]) for k in range(3)]
        tell_truth(run, np.array(some))
        assert review(run) == []
