"""An experiment in memory is the run that a folder would hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import RunError
from clipcache.experiment import simulate
from clipcache.loop import replay
from clipcache.metrics import expected_calibration_error
from clipcache.run import Run
from clipcache.run_config import RunConfig

CONFIG = RunConfig("margin", "linear", init="stratified:1", batch=5, rounds=3, seed=4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"strategy": "random", "init": "kmeans:7", "label_noise": 0.3},
        {"subsample": 40, "train_on": "latest"},
        {"head_start": "continue", "eval_size": 30},
        {"head": "auto", "rounds": 0},
    ],
)
def test_batches_and_accuracies_are_those_of_a_run(
    tmp_path: Path, finished_cache: EmbeddingCache, options: dict[str, object]
) -> None:
    config = replace(CONFIG, **options)  # type: ignore[arg-type]
    run = Run.begin(tmp_path / "run", config, finished_cache)
    rounds, batches = replay(run), run.store.batches()
    closed = list(simulate(run.data, config))
    assert [c.round.labels for c in closed] == [r.labels for r in rounds]
    assert [c.round.top1 for c in closed] == [r.top1 for r in rounds]
    assert [c.round.top5 for c in closed] == [r.top5 for r in rounds]
    for earlier, batch in zip(closed, batches[1:], strict=False):
        np.testing.assert_array_equal(earlier.batch, batch)
    assert len(closed[-1].batch) == 0


def test_what_cannot_work_is_refused_before_anything_is_fitted(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    data = Run.begin(tmp_path / "run", CONFIG, finished_cache).data
    with pytest.raises(RunError, match="stratified:999"):
        next(simulate(data, replace(CONFIG, init="stratified:999")))


def test_a_head_that_is_no_weight_matrix_cannot_be_continued(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    config = replace(CONFIG, head="tip_adapter", head_start="continue")
    data = Run.begin(tmp_path / "run", CONFIG, finished_cache).data
    with pytest.raises(RunError, match=r"--head-start continue .* tip_adapter"):
        next(simulate(data, config))


def test_a_round_measures_calibration_certainty_and_agreement(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    run = Run.begin(tmp_path / "run", CONFIG, finished_cache)
    closed = list(simulate(run.data, CONFIG))
    pool, labels = run.data.features[run.pool].astype(np.float32), run.data.labels[run.test]
    for before, now in zip([None, *closed], closed, strict=False):
        probs = softmax(now.head.logits(pool).astype(np.float64), axis=1)
        entropy = -(probs * np.log(probs)).sum(axis=1) / np.log(probs.shape[1])
        assert now.round.uncertainty == pytest.approx(entropy.mean(), rel=1e-4)
        right = now.guesses[:, 0] == labels
        assert now.round.ece == expected_calibration_error(now.probs[:, 0], right)
        if before is None:
            assert now.round.agreement is None
            continue
        theirs = before.head.logits(pool).argmax(axis=1)
        table = np.zeros_like(probs, shape=(probs.shape[1],) * 2)
        np.add.at(table, (theirs, probs.argmax(axis=1)), 1 / len(pool))
        chance = table.sum(axis=0) @ table.sum(axis=1)
        assert now.round.agreement == pytest.approx((np.trace(table) - chance) / (1 - chance))
