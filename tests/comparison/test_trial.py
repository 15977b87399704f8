"""A trial is a simulated run, measured in more ways; the traditional arm has no rounds."""

from dataclasses import replace

import numpy as np
import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.comparison.trial import (
    METRICS,
    Task,
    data_key,
    measure,
    pool_counts,
    run_trial,
)
from clipcache.dataset import Dataset
from clipcache.errors import RunError
from clipcache.experiment import simulate
from clipcache.heads.linear import Linear
from clipcache.learner import Learner
from clipcache.run_config import RunConfig
from clipcache.text import LabelText

CONFIG = RunConfig("margin", "linear", init="stratified:2", batch=5, rounds=3, seed=4)


def task(
    cache: EmbeddingCache,
    config: RunConfig,
    traditional: bool,
    sizes: tuple[int | None, ...],
) -> Task:
    return Task(cache.path, data_key(Dataset.load(cache)), config, traditional, sizes)


@pytest.mark.parametrize("size", [None, 30])
def test_it_measures_what_a_run_with_this_evaluation_measures(
    finished_cache: EmbeddingCache, dataset: Dataset, size: int | None
) -> None:
    trial = run_trial(task(finished_cache, CONFIG, False, (30, None)))
    closed = list(simulate(dataset, replace(CONFIG, eval_size=size)))
    found = trial.measured["all" if size is None else "30"]
    assert list(found) == list(METRICS)
    for metric in ("top1", "top5", "ece"):
        assert found[metric] == tuple(getattr(c.round, metric) for c in closed)
    assert trial.labels == (16, 21, 26, 31)
    for asked, c in zip(trial.batches[1:], closed, strict=False):
        assert list(asked) == c.batch.tolist()
    assert list(trial.batches[0]) == Learner(dataset, CONFIG).start().tolist()
    assert trial.stopped == "all 3 rounds are done"
    assert len(trial.seconds) == 4
    assert min(trial.seconds) > 0


def test_each_metric_is_its_plain_definition(rng: np.random.Generator) -> None:
    m, classes = 60, 9
    guesses = np.array([rng.permutation(classes)[:5] for _ in range(m)])
    labels = rng.integers(0, classes, m)
    probs = -np.sort(-rng.random((m, 5)), axis=1).astype(np.float32)
    counts = rng.permutation(classes) * 10
    hits = {c: [g[0] == c for g, y in zip(guesses, labels, strict=True) if y == c] for c in labels}
    recall = {c: np.mean(hit) for c, hit in hits.items()}
    rare = sorted(recall, key=lambda c: counts[c])
    found = measure(guesses, probs, labels, counts)
    assert found["top1"] == np.mean([g[0] == y for g, y in zip(guesses, labels, strict=True)])
    assert found["top5"] == np.mean([y in g for g, y in zip(guesses, labels, strict=True)])
    assert found["macro_recall"] == pytest.approx(np.mean(list(recall.values())))
    assert found["tail_recall"] == pytest.approx(np.mean([recall[c] for c in rare[:3]]))
    assert found["head_recall"] == pytest.approx(np.mean([recall[c] for c in rare[-3:]]))
    assert 0 < found["ece"] < 1
    probs[:, 0] = np.nextafter(np.float32(1), np.float32(2))
    assert measure(guesses, probs, labels, counts)["ece"] == pytest.approx(1 - found["top1"])


def test_the_traditional_arm_is_a_fresh_sample_and_model_for_each_size(
    finished_cache: EmbeddingCache, dataset: Dataset
) -> None:
    trial = run_trial(task(finished_cache, CONFIG, True, (None,)))
    rounds = run_trial(task(finished_cache, CONFIG, False, (None,)))
    assert trial.labels == rounds.labels
    assert trial.batches[0] == rounds.batches[0]
    assert trial.measured["all"]["top1"][0] == rounds.measured["all"]["top1"][0]
    assert trial.stopped == rounds.stopped
    learner = Learner(dataset, CONFIG)
    for number, (asked, size) in enumerate(zip(trial.batches, trial.labels, strict=True)):
        rows = np.array(asked)
        assert len(set(asked)) == size
        assert np.isin(rows, learner.pool).all()
        assert (np.bincount(dataset.labels[rows[:16]]) == 2).all()
        x, y = dataset.features[rows].astype(np.float32), dataset.labels[rows]
        rng = np.random.default_rng(0)
        head = Linear().fit(x, y, n_classes=len(dataset.names), text=None, rng=rng)
        test = dataset.features[learner.test].astype(np.float32)
        right = head.logits(test).argmax(axis=1) == dataset.labels[learner.test]
        assert trial.measured["all"]["top1"][number] == right.mean()
    shared = set(trial.batches[2]) & set(trial.batches[3])
    assert len(shared) < 10  # of 26 and 31; not one sample that grows


def test_rules_do_not_stop_the_traditional_arm(finished_cache: EmbeddingCache) -> None:
    config = replace(CONFIG, stop="uncertainty:1")
    stopped = run_trial(task(finished_cache, config, False, (None,)))
    assert len(stopped.labels) == 1
    assert stopped.stopped.startswith("the head is sure")
    assert len(run_trial(task(finished_cache, config, True, (None,))).labels) == 4


def test_wrong_answers_reach_both_arms(finished_cache: EmbeddingCache) -> None:
    config = replace(CONFIG, rounds=1)
    for traditional in (False, True):
        clean, noisy = (
            run_trial(task(finished_cache, c, traditional, (None,)))
            for c in (config, replace(config, label_noise=1.0))
        )
        assert clean.batches[0] == noisy.batches[0]
        assert clean.measured["all"]["top1"][0] > noisy.measured["all"]["top1"][0]


def test_the_traditional_arm_refuses_what_a_run_refuses(finished_cache: EmbeddingCache) -> None:
    config = replace(CONFIG, rounds=500)
    with pytest.raises(RunError, match="need 2516 labels"):
        run_trial(task(finished_cache, config, True, (None,)))


def test_data_is_known_by_rows_names_and_text(dataset: Dataset) -> None:
    text = dataset.text
    assert text is not None
    turned = LabelText(text.names, text.templates, np.flip(text.vectors), text.logit_scale)
    others = [
        dataset,
        replace(dataset, fingerprint="0"),
        replace(dataset, names=(*dataset.names, "more")),
        replace(dataset, text=turned),
        replace(dataset, text=None),
    ]
    assert len({data_key(data) for data in others}) == len(others)
    assert data_key(replace(dataset)) == data_key(dataset)


def test_other_data_than_the_task_is_about_is_refused(finished_cache: EmbeddingCache) -> None:
    right = task(finished_cache, CONFIG, False, (None,))
    run_trial(right)
    with pytest.raises(RunError, match="cache changed while it was compared"):
        run_trial(right._replace(data="0"))


def test_pool_counts_are_of_what_can_be_asked_for(dataset: Dataset) -> None:
    counts = pool_counts(dataset)
    known = [int(label) for label in dataset.labels[dataset.pool] if label >= 0]
    assert counts.tolist() == [known.count(c) for c in range(len(dataset.names))]
