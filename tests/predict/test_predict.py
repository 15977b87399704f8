"""Every image gets a line, from a folder or a cache, with probabilities that hold."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.classifier import Classifier
from clipcache.errors import CacheIdentityError, RunError, SourceError
from clipcache.images.source import SourceOptions
from clipcache.predict import predict as module
from clipcache.predict.predict import PredictOptions, predict
from clipcache.run import Run
from clipcache.run_config import WHILE_THEY_LIKE, RunConfig
from tests.labelled_run import drawn_cache, labelled_run, tell_truth
from tests.pictures import hostile
from tests.synthetic import FAILED
from tests.unlabelled import truth, write_unlabelled

Lines = list[dict[str, str]]
HERE = PredictOptions(device="cpu")
PEOPLE = RunConfig("margin", "linear", batch=6, rounds=WHILE_THEY_LIKE, asks="unlabeled")


@pytest.fixture
def run(tmp_path: Path, finished_cache: EmbeddingCache) -> Iterator[Run]:
    with labelled_run(tmp_path / "run", finished_cache) as run:
        yield run


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    return drawn_cache(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def drawn_run(tmp_path: Path, drawn: EmbeddingCache) -> Iterator[Run]:
    with labelled_run(tmp_path / "run", drawn, rounds=1, init="random:10") as run:
        yield run


def read(path: Path) -> Lines:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_row_of_a_cache_has_the_classes_that_a_slow_twin_finds(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 100)
    predict(run, run.cache.path, tmp_path / "a.csv")
    lines, classifier = read(tmp_path / "a.csv"), Classifier.of(run)
    assert [line["key"] for line in lines] == run.cache.keys().tolist()
    x = run.cache.embeddings().astype(np.float32)
    logits = classifier.head.logits(x).astype(float) / classifier.calibration.temperature
    probs = softmax(logits, axis=1)
    for row, line in enumerate(lines):
        if row in FAILED:
            assert line["reason"] == "made to fail"
            assert line["class_1"] == line["probability_1"] == line["answer"] == ""
            continue
        best = np.argsort(-probs[row], kind="stable")[:5]
        assert [line[f"class_{i}"] for i in range(1, 6)] == [run.names[c] for c in best]
        found = [float(line[f"probability_{i}"]) for i in range(1, 6)]
        np.testing.assert_allclose(found, probs[row, best], atol=1e-4)
        assert (line["answer"], line["reason"]) == (line["class_1"], "")


def test_nothing_is_promised_where_no_label_says_how_sure_to_be(tmp_path: Path) -> None:
    cache, labels = write_unlabelled(tmp_path / "c.zarr", 60, held_out=False), truth(60)
    run = Run.begin(tmp_path / "run", PEOPLE, cache)
    run.propose()
    one_each = [int(run.pool[labels[run.pool] == label][0]) for label in range(8)]
    run.record(one_each, np.arange(8), annotator="ann", source="page")
    summary = predict(run, cache.path, tmp_path / "a.csv")
    assert summary.answered > 0
    assert summary.expected_accuracy is None
    assert "not calibrated" in str(summary.calibration)
    with pytest.raises(RunError, match=r"nothing says how sure to be: .* leave out --at-least"):
        predict(run, cache.path, tmp_path / "b.csv", PredictOptions(at_least=0.5))
    assert not (tmp_path / "b.csv").exists()
    run.store.close()


@pytest.mark.parametrize("at_least", [float("nan"), -0.1, 90])
def test_what_is_no_probability_is_refused(run: Run, tmp_path: Path, at_least: float) -> None:
    with pytest.raises(RunError, match=r"--at-least .* is no probability: expected 0 to 1"):
        predict(run, run.cache.path, tmp_path / "a.csv", PredictOptions(at_least=at_least))


def test_no_answer_where_it_is_not_likely_enough(run: Run, tmp_path: Path) -> None:
    options = PredictOptions(at_least=0.7)
    summary = predict(run, run.cache.path, tmp_path / "a.csv", options)
    lines = [line for line in read(tmp_path / "a.csv") if line["class_1"]]
    sure = [line for line in lines if line["answer"]]
    assert {line["answer"] == line["class_1"] for line in sure} == {True}
    assert min(float(line["probability_1"]) for line in sure) >= 0.7
    unsure = [line for line in lines if not line["answer"]]
    assert max(float(line["probability_1"]) for line in unsure) < 0.7
    assert {line["reason"] for line in unsure} == {"unsure: less than 0.7"}
    counted = (summary.images, summary.answered, summary.unsure, summary.failed)
    assert counted == (600, len(sure), len(unsure), len(FAILED))
    assert len(sure) > 50
    assert len(unsure) > 50
    mean = np.mean([float(line["probability_1"]) for line in sure])
    assert summary.expected_accuracy == pytest.approx(mean, abs=1e-5)


def test_what_is_expected_is_what_happens(run: Run, tmp_path: Path) -> None:
    for at_least in (0.0, 0.6, 0.9):
        summary = predict(
            run, run.cache.path, tmp_path / "a.csv", PredictOptions(at_least=at_least)
        )
        labels = run.cache.labels()
        right = [
            line["answer"] == run.names[label]
            for line, label in zip(read(tmp_path / "a.csv"), labels, strict=True)
            if line["answer"] and label >= 0
        ]
        assert summary.expected_accuracy == pytest.approx(np.mean(right), abs=0.06)


def test_nobody_is_sure_enough_of_anything(run: Run, tmp_path: Path) -> None:
    summary = predict(run, run.cache.path, tmp_path / "a.csv", PredictOptions(at_least=1.0))
    assert (summary.answered, summary.expected_accuracy) == (0, None)


def test_new_labels_count_at_once(run: Run, tmp_path: Path) -> None:
    first = predict(run, run.cache.path, tmp_path / "a.csv")
    tell_truth(run, run.propose()[:5])
    second = predict(run, run.cache.path, tmp_path / "b.csv")
    assert second.learned_from > first.learned_from
    assert read(tmp_path / "a.csv") != read(tmp_path / "b.csv")


def test_a_folder_says_the_same_as_its_cache(drawn_run: Run, tmp_path: Path) -> None:
    photos = drawn_run.cache.path.parent / "photos"
    done: list[int] = []
    options = PredictOptions(device="cpu", batch_size=8)
    from_files = predict(drawn_run, photos, tmp_path / "a.csv", options, done.append)
    from_cache = predict(drawn_run, drawn_run.cache.path, tmp_path / "b.csv")
    assert (from_files.images, from_files.answered) == (from_cache.images, from_cache.answered)
    assert from_files.expected_accuracy == pytest.approx(from_cache.expected_accuracy, abs=1e-3)
    assert done == [8, 16, 24, 32, 34]
    for one, other in zip(read(tmp_path / "a.csv"), read(tmp_path / "b.csv"), strict=True):
        assert one["key"] == other["key"]
        assert one["class_2"] in drawn_run.names
        assert one["class_3"] == one["probability_3"] == ""
        first = float(one["probability_1"]), float(other["probability_1"])
        assert first[0] == pytest.approx(first[1], abs=5e-3)  # the cache has float16


def test_images_that_cannot_be_used_keep_their_reason(drawn_run: Run, tmp_path: Path) -> None:
    reasons = hostile(tmp_path / "photos")
    summary = predict(drawn_run, tmp_path / "photos", tmp_path / "a.csv", HERE)
    lines = read(tmp_path / "a.csv")
    assert {line["key"] for line in lines} == set(reasons)
    assert all(reasons[line["key"]] in line["reason"] for line in lines)
    assert (summary.failed, summary.answered, summary.unsure) == (len(reasons), 0, 0)


def test_a_table_names_the_images(drawn_run: Run, tmp_path: Path) -> None:
    photos = drawn_run.cache.path.parent / "photos"
    table = tmp_path / "t.csv"
    table.write_text("file\n003\n001\n")
    source = SourceOptions(root=photos, path_column="file", path_pattern="coat/{}.png")
    predict(drawn_run, table, tmp_path / "a.csv", PredictOptions(source=source, device="cpu"))
    assert [line["key"] for line in read(tmp_path / "a.csv")] == ["coat/003.png", "coat/001.png"]


def test_vectors_of_another_encoder_are_refused(
    run: Run, drawn: EmbeddingCache, tmp_path: Path
) -> None:
    with pytest.raises(
        CacheIdentityError, match=r"made by clipcache-tiny .* learned from .*clouds"
    ):
        predict(run, drawn.path, tmp_path / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_a_wrong_name_or_no_images_write_nothing(drawn_run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="neither"):
        predict(drawn_run, drawn_run.cache.path, tmp_path / "a.xls")
    with pytest.raises(SourceError, match="no image in"):
        predict(drawn_run, tmp_path / "empty", tmp_path / "a.csv", HERE)
    with pytest.raises(SourceError, match="does not exist"):
        predict(drawn_run, tmp_path / "nowhere", tmp_path / "a.csv", HERE)
    assert not list(tmp_path.glob("a.*"))


def test_a_run_without_labels_can_say_nothing(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    with (
        labelled_run(tmp_path / "none", finished_cache, rounds=0) as run,
        pytest.raises(RunError, match="label images first"),
    ):
        predict(run, finished_cache.path, tmp_path / "a.csv")
