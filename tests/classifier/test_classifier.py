"""A run's classifier has learned from all labels, and is as sure as labels advise."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clipcache import registry
from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.calibration import fit_temperature
from clipcache.classifier.classifier import ENOUGH, Classifier
from clipcache.classifier.lesson import Lesson
from clipcache.classifier.taught import remember
from clipcache.errors import RunError
from clipcache.heads.base import LinearWeights
from clipcache.labels import EXCLUDED, SKIPPED
from clipcache.run import Run
from tests.labelled_run import labelled_run, tell_truth
from tests.synthetic import write_cache


@pytest.fixture
def run(tmp_path: Path, finished_cache: EmbeddingCache) -> Iterator[Run]:
    with labelled_run(tmp_path / "run", finished_cache) as run:
        yield run


def test_it_learns_from_all_labels_also_between_rounds(run: Run) -> None:
    rows, labels = run.labelled()
    lesson = Lesson.of(run)
    np.testing.assert_array_equal(lesson.rows, rows)
    np.testing.assert_array_equal(lesson.y, labels)
    before = Classifier.of(run)
    assert before.labels == len(rows)
    tell_truth(run, run.propose()[:4])
    assert Classifier.of(run).labels == len(rows) + 4


def test_what_was_skipped_or_excluded_teaches_nothing(run: Run) -> None:
    batch = run.propose()
    before = Classifier.of(run)
    run.record(batch[:2], [SKIPPED, EXCLUDED], annotator="ann", source="page")
    after = Classifier.of(run)
    np.testing.assert_array_equal(after.head.logits(_x(run)), before.head.logits(_x(run)))


@pytest.mark.parametrize("head", ["linear", "text_prior", "auto"])
def test_a_class_made_on_the_spot_is_a_column(
    tmp_path: Path, finished_cache: EmbeddingCache, head: str
) -> None:
    with labelled_run(tmp_path / "run", finished_cache, head=head, rounds=2) as run:
        place = run.add_class("cape", annotator="ann")
        rows = run.propose()[:3]
        run.record(rows, [place] * 3, annotator="ann", source="page")
        classifier = Classifier.of(run)
        assert classifier.names == run.names == (*run.data.names, "cape")
        own = classifier.head.logits(run.data.features[rows].astype(np.float32))
        assert own.shape[1] == len(classifier.names)
        assert place in own.argmax(axis=1)


def test_the_same_labels_make_the_same_classifier(run: Run) -> None:
    one, other = Classifier.of(run), Classifier.of(run)
    np.testing.assert_array_equal(one.head.logits(_x(run)), other.head.logits(_x(run)))
    assert one.calibration == other.calibration


def test_enough_held_out_labels_decide_how_sure_to_be(run: Run) -> None:
    rows, labels = run.measured()
    assert len(rows) >= ENOUGH
    classifier = Classifier.of(run)
    logits = classifier.head.logits(run.data.features[rows].astype(np.float32))
    assert classifier.calibration.temperature == fit_temperature(logits, labels)
    assert (classifier.calibration.labels, classifier.calibration.held_out) == (len(rows), True)
    assert "held-out labels" in str(classifier.calibration)


def test_few_held_out_labels_leave_it_to_cross_validation(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    with labelled_run(tmp_path / "few", finished_cache, eval_size=ENOUGH - 1) as run:
        classifier, lesson = Classifier.of(run), Lesson.of(run)
        judged = lesson.out_of_fold()
        expected = fit_temperature(judged.logits, lesson.y[judged.places])
        assert classifier.calibration.temperature == expected
        assert not classifier.calibration.held_out
        assert classifier.calibration.labels == len(judged.places) <= len(lesson.y)
        assert "by cross-validation, cautiously" in str(classifier.calibration)


def test_few_held_out_labels_decide_where_there_are_fewer_others(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    few = {"rounds": 1, "eval_size": 12, "init": "random:6"}
    with labelled_run(tmp_path / "few", finished_cache, **few) as run:
        rows, labels = run.measured()
        assert len(Lesson.of(run).out_of_fold().places) < len(rows) == 12
        classifier = Classifier.of(run)
        logits = classifier.head.logits(run.data.features[rows].astype(np.float32))
        assert classifier.calibration.temperature == fit_temperature(logits, labels)
        assert (classifier.calibration.labels, classifier.calibration.held_out) == (12, True)


def test_labels_that_the_encoder_was_trained_on_make_it_too_sure_and_are_told(
    tmp_path: Path,
) -> None:
    cache = write_cache(tmp_path / "cache")
    with labelled_run(tmp_path / "run", cache, eval_size=10) as run:
        plain = Classifier.of(run).calibration
        judged = run.labelled()[0][Lesson.of(run).out_of_fold().places]
        remember(cache.path, judged[:7])
        found = Classifier.of(run).calibration
    assert (plain.taught, found.taught) == (0, 7)
    assert found.temperature == plain.temperature
    assert "cautiously" not in str(found)
    assert str(found).endswith(
        "the encoder was trained on 7 of them, so it may be too sure: hold out 30 others"
    )
    with labelled_run(tmp_path / "held out", cache) as run:
        remember(cache.path, run.measured()[0][:3])
        assert Classifier.of(run).calibration.taught == 3


@pytest.mark.parametrize("head", registry.names("heads"))
def test_calibrated_logits_are_divided_by_the_temperature(
    tmp_path: Path, finished_cache: EmbeddingCache, head: str
) -> None:
    with labelled_run(tmp_path / head, finished_cache, head=head, rounds=2) as run:
        classifier = Classifier.of(run)
        logits = classifier.head.logits(_x(run)).astype(float)
        found = classifier.calibrated.logits(_x(run))
        expected = logits / classifier.calibration.temperature
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        linear = isinstance(classifier.head, LinearWeights)
        assert isinstance(classifier.calibrated, LinearWeights) == linear


def test_without_labels_there_is_no_classifier(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    with (
        labelled_run(tmp_path / "none", finished_cache, rounds=0) as run,
        pytest.raises(RunError, match=r"has 0 labels and 8 classes: .* label images first"),
    ):
        Classifier.of(run)


def _x(run: Run) -> np.ndarray:
    return run.data.features[run.pool[:50]].astype(np.float32)
