"""A temperature makes a head as sure as it is right, and changes nothing else."""

import numpy as np
import pytest
from scipy.special import softmax

from clipcache.arrays import Labels, Logits
from clipcache.classifier.calibration import RANGE, fit_temperature


def draw(rng: np.random.Generator, m: int, c: int = 6) -> tuple[Logits, Labels]:
    """Logits, and labels that are as likely as their softmax says."""
    logits = (3 * rng.standard_normal((m, c))).astype(np.float32)
    probs = softmax(logits.astype(float), axis=1)
    return logits, (probs.cumsum(axis=1) < rng.random((m, 1))).sum(axis=1)


def confidence(logits: Logits, temperature: float) -> float:
    return float(softmax(logits.astype(float) / temperature, axis=1).max(axis=1).mean())


@pytest.mark.parametrize("factor", [0.2, 0.7, 1.0, 4.0])
def test_a_head_that_exaggerates_is_brought_back(rng: np.random.Generator, factor: float) -> None:
    logits, labels = draw(rng, 20_000)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("m", [3, 40, 1000])
def test_confidence_becomes_accuracy_with_one_label_more_of_each_kind(
    rng: np.random.Generator, m: int
) -> None:
    logits, labels = draw(rng, m)
    right = (logits.argmax(axis=1) == labels).sum()
    temperature = fit_temperature(logits, labels)
    assert confidence(logits, temperature) == pytest.approx((right + 1) / (m + 2), abs=1e-6)


def test_a_few_right_answers_make_nobody_sure_of_everything() -> None:
    logits = np.eye(4, dtype=np.float32)
    assert confidence(logits, fit_temperature(logits, np.arange(4))) == pytest.approx(5 / 6)


def test_impossible_classes_do_not_count_more_than_other_mistakes(rng: np.random.Generator) -> None:
    logits, labels = draw(rng, 2000)
    logits[:, -1] = -1e9
    labels[:100] = 5  # a class that the head rules out
    assert fit_temperature(logits, labels) < 2


def test_the_ends_of_the_range_are_the_answer_where_no_temperature_will_do() -> None:
    ties = np.zeros((50, 2), dtype=np.float32)
    ties[:, 0] = 1e-6
    assert fit_temperature(ties, np.zeros(50, dtype=int)) == RANGE[0]
    assert fit_temperature(1e6 * ties, np.ones(50, dtype=int)) == RANGE[1]


def test_without_labels_nothing_changes() -> None:
    assert fit_temperature(np.zeros((0, 3), dtype=np.float32), np.zeros(0, dtype=int)) == 1.0
