"""An experiment in memory is the run that a folder would hold."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import RunError
from clipcache.experiment import simulate
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_folder import RunConfig

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
    run = Run.begin(tmp_path / "run", config, finished_cache)
    for rounds in (lambda: replay(run), lambda: list(simulate(run.data, config))):
        with pytest.raises(RunError, match=r"--head-start continue .* tip_adapter"):
            rounds()
