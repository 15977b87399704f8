"""What is asked hangs on the pool and the answers so far, on no test image and no other label."""

from dataclasses import replace

import numpy as np
import pytest

from clipcache.arrays import Labels, RowIds
from clipcache.dataset import Dataset
from clipcache.experiment import simulate
from clipcache.learner import Closed
from clipcache.run_config import RunConfig
from clipcache.whitening import unit


@pytest.fixture(scope="module", params=["kmeans", "typiclust"])
def config(request: pytest.FixtureRequest) -> RunConfig:
    """The defaults from two starts, for so many rounds that both strategies have their turn."""
    return RunConfig(init=request.param, rounds=5)


@pytest.fixture(scope="module")
def honest(dataset: Dataset, config: RunConfig) -> list[Closed]:
    return list(simulate(dataset, config))


def mistaken(data: Dataset, rows: RowIds) -> Labels:
    """Return all labels, of which those of `rows` are wrong."""
    rows, classes = rows[data.labels[rows] >= 0], len(data.names)
    labels = data.labels.copy()
    labels[rows] += np.random.default_rng(1).integers(1, classes, len(rows))
    labels[rows] %= classes
    return labels


def test_test_images_and_their_labels_decide_nothing(
    dataset: Dataset, config: RunConfig, honest: list[Closed]
) -> None:
    assert isinstance(dataset.features, np.ndarray)
    features, (_, d) = dataset.features.copy(), dataset.features.shape
    features[dataset.test] = unit(
        5 + np.random.default_rng(2).standard_normal((len(dataset.test), d))
    )
    labels = mistaken(dataset, dataset.test)
    other = list(simulate(replace(dataset, features=features, labels=labels), config))
    np.testing.assert_array_equal(other[-1].asked, honest[-1].asked)
    pool = features[dataset.pool].astype(np.float32)
    for mine, theirs in zip(honest, other, strict=True):
        np.testing.assert_array_equal(theirs.head.logits(pool), mine.head.logits(pool))
    assert honest[-1].round.top1 > 0.5 > other[-1].round.top1  # they are what it is measured on


def test_labels_that_nobody_was_asked_for_decide_nothing(
    dataset: Dataset, config: RunConfig, honest: list[Closed]
) -> None:
    others = np.setdiff1d(np.arange(dataset.n), honest[-1].asked)
    *_, last = simulate(replace(dataset, labels=mistaken(dataset, others)), config)
    np.testing.assert_array_equal(last.asked, honest[-1].asked)
