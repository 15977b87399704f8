"""The state machine of a run, and everything that it refuses."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcache import registry
from clipcache.arrays import RowIds
from clipcache.cache.layout import PARTS
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.dataset import Dataset
from clipcache.errors import CacheError, ClipcacheError, RunError, UnknownNameError
from clipcache.heads.base import LinearWeights
from clipcache.learner import Learner
from clipcache.loop import replay
from clipcache.pool import Pool
from clipcache.run import Run
from clipcache.run_config import RunConfig
from clipcache.strategies.margin import Margin
from tests.synthetic import CHUNK_ROWS, FAILED, class_names, columns, identity, text, write_cache

CONFIG = RunConfig("margin", "linear", init="stratified:1", batch=5, rounds=3, seed=3)


@pytest.fixture
def run(tmp_path: Path, finished_cache: EmbeddingCache) -> Iterator[Run]:
    run = Run.begin(tmp_path / "run", CONFIG, finished_cache)
    yield run
    run.store.close()


def answer(run: Run, rows: RowIds) -> None:
    run.record(rows, run.data.labels[rows], annotator="test", source="test")


def test_asking_again_gives_the_same_batch_here_and_in_another_process(run: Run) -> None:
    for _ in range(CONFIG.rounds + 1):
        batch = run.propose()
        assert len(batch)
        np.testing.assert_array_equal(run.propose(), batch)
        other = Run.open(run.folder)
        np.testing.assert_array_equal(other.propose(), batch)
        other.store.close()
        answer(run, batch)
    assert len(run.propose()) == 0
    assert len(run.propose()) == 0
    assert len(run.store.rounds()) == CONFIG.rounds + 1


def test_a_batch_stays_until_its_last_label(run: Run) -> None:
    batch = run.propose()
    for row in batch[:-1]:
        answer(run, np.array([row]))
        np.testing.assert_array_equal(run.propose(), batch)
    assert run.store.rounds() == []
    answer(run, batch[-1:])
    assert set(run.propose().tolist()).isdisjoint(batch.tolist())
    assert [r.labels for r in run.store.rounds()] == [len(batch)]


def test_only_labelled_pool_images_that_are_embedded_are_asked_for_each_once(run: Run) -> None:
    replay(run)
    asked = np.concatenate(run.store.batches())
    assert len(set(asked.tolist())) == len(asked) == 8 + 3 * 5
    values = columns(600, 8)
    assert (values["split"][asked] == 0).all()
    assert (values["label"][asked] >= 0).all()
    assert not set(FAILED) & set(asked.tolist())
    assert not set(FAILED) & set(run.test.tolist())
    assert (values["split"][run.test] == 1).all()


def test_the_first_batch_has_one_of_each_class(run: Run) -> None:
    assert sorted(run.data.labels[run.propose()].tolist()) == list(range(8))


def test_the_later_label_of_a_row_is_the_one_that_teaches(run: Run) -> None:
    batch = run.propose()
    answer(run, batch)
    wrong = (run.data.labels[batch[:1]] + 1) % 8
    run.record(batch[:1], wrong, annotator="second", source="test")
    assert run.ballots.labels()[int(batch[0])] == wrong[0]
    run.propose()
    saved = LinearWeights.load(run.folder / "heads" / "000.safetensors")
    logits = saved.logits(run.data.features[batch[:1]].astype(np.float32))
    assert logits[0].argmax() == wrong[0]


def test_what_was_not_asked_cannot_be_answered(run: Run) -> None:
    batch = run.propose()
    other = np.setdiff1d(run.pool, batch)[:1]
    both = np.concatenate([batch[:1], other])
    with pytest.raises(RunError, match=f"row {other[0]} was never proposed"):
        answer(run, both)
    for label in (-1, 8):
        with pytest.raises(RunError, match=f"label {label} for row {batch[0]}, .* 8 classes"):
            run.record(batch[:1], np.array([label]), annotator="a", source="s")
    assert run.ballots.labels() == {}


def test_labels_may_be_lists(run: Run) -> None:
    batch = run.propose().tolist()
    run.record(batch, [1] * len(batch), annotator="a", source="s")
    assert run.ballots.labels() == dict.fromkeys(batch, 1)
    run.record([], [], annotator="a", source="s")
    run.record(batch[:1], np.array([[2]]), annotator="a", source="s")
    assert run.ballots.labels()[batch[0]] == 2


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 2], "3 rows, but 2 labels: expected one label for each row"),
        ([1, 2, 3, 4], "3 rows, but 4 labels"),
        (["coat", "hat", "hat"], "labels of type <U4: expected whole numbers from 0 to 7"),
        ([0.5, 1, 2], "labels of type float64: expected whole numbers"),
    ],
)
def test_labels_that_do_not_fit_their_rows_are_refused(
    run: Run, labels: list[Any], words: str
) -> None:
    with pytest.raises(RunError, match=words):
        run.record(run.propose()[:3], labels, annotator="a", source="s")
    assert run.ballots.labels() == {}


def test_rounds_hold_what_the_saved_heads_say(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    real = Learner._select

    def select(learner: Learner, pool: Pool, number: int, size: int) -> RowIds:
        chosen.append(number)
        return real(learner, pool, number, size)

    monkeypatch.setattr(Learner, "_select", select)
    rounds = replay(run)
    assert [r.round for r in rounds] == [0, 1, 2, 3]
    assert [r.labels for r in rounds] == [8, 13, 18, 23]
    truth = run.data.labels[run.test]
    for closed in rounds:
        head = LinearWeights.load(run.folder / "heads" / f"{closed.round:03d}.safetensors")
        logits = run.data.features[run.test].astype(np.float64) @ head.weight + head.bias
        order = np.argsort(-logits, axis=1)
        assert closed.top1 == pytest.approx((order[:, 0] == truth).mean())
        assert closed.top5 == pytest.approx((order[:, :5] == truth[:, None]).any(axis=1).mean())
        assert 0 < closed.fit_seconds < 60
    assert chosen == [1, 2, 3], "after the last round nothing is proposed"
    assert rounds[-1].score_seconds == 0


def test_a_strategy_sees_no_label_that_was_not_given(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Pool] = []
    select = Margin.select

    def spy(self: Margin, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        seen.append(pool)
        return select(self, pool, budget, rng=rng)

    monkeypatch.setattr(Margin, "select", spy)
    replay(run)
    assert len(seen) == CONFIG.rounds
    for number, pool in enumerate(seen):
        asked = np.concatenate(run.store.batches()[: number + 1])
        np.testing.assert_array_equal(pool.labeled, asked)
        np.testing.assert_array_equal(pool.labels, run.data.labels[asked])
        np.testing.assert_array_equal(pool.unlabeled, np.setdiff1d(run.pool, asked))
        for field in fields(pool):
            value = getattr(pool, field.name)
            if isinstance(value, np.ndarray) and field.name != "features":
                assert len(value) < run.data.n


def test_rows_and_classes_that_came_later_take_no_part(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache")
    undisturbed = Run.begin(tmp_path / "a", CONFIG, cache)
    replay(undisturbed)
    run = Run.begin(tmp_path / "b", CONFIG, cache)
    answer(run, run.propose())
    run.store.close()

    more = columns(700, 8)
    more["label"][600:] = 8
    with CacheWriter.open(cache.path, identity(), chunk_rows=CHUNK_ROWS) as writer:
        writer.write_text(text(9))
        writer.grow(700)
        span = writer.cache.span(2)
        for part, names in PARTS.items():
            writer.commit(part, 2, {name: more[name][span] for name in names})

    run = Run.begin(tmp_path / "b", CONFIG, EmbeddingCache.open(cache.path))
    replay(run)
    for ours, theirs in zip(run.store.batches(), undisturbed.store.batches(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in ("000", "003"):
        files = [tmp_path / r / "heads" / f"{name}.safetensors" for r in ("a", "b")]
        assert files[0].read_bytes() == files[1].read_bytes()
    run.store.close()
    undisturbed.store.close()


# What is refused, each time with what was found and what was expected.


def refused(
    folder: Path, config: RunConfig, cache: EmbeddingCache, kind: type[ClipcacheError] = RunError
) -> str:
    """Return the message with which the run is refused."""
    with pytest.raises(kind) as caught:
        Run.begin(folder, config, cache)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rounds": 100}, ["100 rounds of 5", "need 508", "the pool has 465"]),
        ({"init": "stratified:50"}, ["50 images of each class", "the pool has 47 of 'class 2'"]),
        ({"init": "random:466"}, ["random:466", "465"]),
        ({"init": "random:455"}, ["random:455", "need 470", "the pool has 465"]),
        ({"init": "stratified:x"}, ["stratified:x", "kmeans:40, random:40 or stratified:3"]),
        ({"init": "some:3"}, ["some:3", "kmeans:40, random:40 or stratified:3"]),
        ({"init": ""}, ["kmeans:40, random:40 or stratified:3"]),
        ({"eval_size": 117}, ["--eval-size 117", "116 test images"]),
        ({"subsample": 4}, ["batch of 5", "--subsample 4"]),
        (
            {"head": "tip_adapter", "head_start": "continue"},
            ["--head-start continue", "--head tip_adapter", "give fresh, or another head"],
        ),
        (
            {"head": "clip_adapter", "head_start": "continue"},
            ["--head-start continue", "--head clip_adapter"],
        ),
    ],
)
def test_options_that_cannot_work_leave_nothing_behind(
    tmp_path: Path, finished_cache: EmbeddingCache, options: dict[str, Any], words: list[str]
) -> None:
    message = refused(tmp_path / "run", replace(CONFIG, **options), finished_cache)
    for word in words:
        assert word in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["no text", "no vectors"])
@pytest.mark.parametrize("head", registry.names("heads"))
def test_heads_that_need_class_names_as_text_leave_nothing_behind(
    tmp_path: Path,
    finished_cache: EmbeddingCache,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    head: str,
    text: str,
) -> None:
    assert dataset.text is not None
    nameless = replace(dataset.text, vectors=np.full_like(dataset.text.vectors, np.nan))
    bare = replace(dataset, text=nameless if text == "no vectors" else None)
    monkeypatch.setattr(Dataset, "load", lambda *_: bare)
    config = replace(CONFIG, head=head, rounds=1)
    if head in ("auto", "linear", "transductive"):
        assert len(replay(Run.begin(tmp_path / "run", config, finished_cache))) == 2
        return
    message = refused(tmp_path / "run", config, finished_cache)
    assert f"--head {head} needs vectors of class names, but the cache has none" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("room", ["strategy", "head"])
def test_an_unknown_name_leaves_nothing_behind(
    tmp_path: Path, finished_cache: EmbeddingCache, room: str
) -> None:
    config = replace(CONFIG, **{room: "nonesuch"})
    assert "nonesuch" in refused(tmp_path / "run", config, finished_cache, UnknownNameError)
    assert not (tmp_path / "run").exists()


def test_numbers_that_just_work_do(tmp_path: Path, finished_cache: EmbeddingCache) -> None:
    config = RunConfig(init="random:462", batch=1, rounds=3, eval_size=116, subsample=1)
    run = Run.begin(tmp_path / "run", config, finished_cache)
    assert [r.labels for r in replay(run)] == [462, 463, 464, 465]
    run.store.close()


def test_other_options_are_listed_with_both_values(
    run: Run, finished_cache: EmbeddingCache
) -> None:
    other = replace(CONFIG, strategy="random", batch=6)
    message = refused(run.folder, other, finished_cache)
    assert "strategy random instead of margin" in message
    assert "batch 6 instead of 5" in message
    assert "seed" not in message


def test_another_cache_is_refused(run: Run, tmp_path: Path) -> None:
    other = write_cache(tmp_path / "other", seed=1)
    message = refused(run.folder, CONFIG, other)
    assert str(run.folder) in message
    assert "belongs to another cache" in message


def test_a_smaller_cache_is_refused_with_both_sizes(run: Run, tmp_path: Path) -> None:
    other = write_cache(tmp_path / "other", n=500)
    message = refused(run.folder, CONFIG, other)
    assert "600" in message
    assert "500" in message


def test_an_unfinished_cache_is_refused(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache", finished=False)
    message = refused(tmp_path / "run", CONFIG, cache, CacheError)
    assert "512 of 600" in message
    assert not (tmp_path / "run").exists()


def test_a_cache_without_labels_is_refused(tmp_path: Path) -> None:
    values = columns(20, 1)
    values["label"][:] = -1
    with CacheWriter.open(tmp_path / "cache", identity(), chunk_rows=CHUNK_ROWS) as writer:
        writer.grow(20)
        for part, names in PARTS.items():
            writer.commit(part, 0, {name: values[name] for name in names})
    cache = EmbeddingCache.open(tmp_path / "cache")
    assert "the cache has no labels" in refused(tmp_path / "run", CONFIG, cache)


def test_a_cache_without_labelled_test_images_is_refused(
    tmp_path: Path,
    finished_cache: EmbeddingCache,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blind = replace(dataset, test=dataset.test[dataset.labels[dataset.test] < 0])
    assert len(blind.test)
    monkeypatch.setattr(Dataset, "load", lambda *_: blind)
    assert "no labelled test images" in refused(tmp_path / "run", CONFIG, finished_cache)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "config": null}',
        b'{"format": 1, "config": {}}',
        b'{"format": 1, "config": {}, "rows": 600}',
    ],
)
def test_a_damaged_run_json_is_named(
    run: Run, finished_cache: EmbeddingCache, content: bytes
) -> None:
    (run.folder / "run.json").write_bytes(content)
    assert "run.json cannot be read" in refused(run.folder, CONFIG, finished_cache)


@pytest.mark.parametrize("change", [{"format": 4}, {"config": {"colour": 1}}])
def test_a_run_of_a_newer_version_is_not_touched(
    run: Run, finished_cache: EmbeddingCache, change: dict[str, Any]
) -> None:
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    before = path.read_bytes()
    message = refused(run.folder, CONFIG, finished_cache)
    assert f"run format {change.get('format', 3)}" in message
    assert "knows format 3" in message
    assert path.read_bytes() == before


def test_a_damaged_label_store_is_named(run: Run, finished_cache: EmbeddingCache) -> None:
    run.store.close()
    (run.folder / "labels.sqlite").write_bytes(b"not a database" * 1000)
    assert "labels.sqlite" in refused(run.folder, CONFIG, finished_cache)


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "cache")
    for chunk in (cache.path / "images" / "embedding").rglob("c/1/0"):
        data = bytearray(chunk.read_bytes())
        data[100] ^= 1
        chunk.write_bytes(data)
    message = refused(tmp_path / "run", CONFIG, EmbeddingCache.open(cache.path), CacheError)
    assert "chunk 1" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", ["holiday.jpg", "labels.sqlite"])
def test_a_folder_with_other_things_is_left_alone(
    tmp_path: Path, finished_cache: EmbeddingCache, content: str
) -> None:
    (tmp_path / content).write_text("mine")
    assert "exists and is not a run" in refused(tmp_path, CONFIG, finished_cache)
    assert [p.name for p in tmp_path.iterdir()] == [content]
    assert "exists and is not a run" in refused(tmp_path / content, CONFIG, finished_cache)


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path, finished_cache: EmbeddingCache) -> None:
    run = Run.begin(tmp_path, CONFIG, finished_cache)
    assert len(run.propose()) == 8
    run.store.close()


def test_run_json_tells_the_whole_configuration(run: Run) -> None:
    content = json.loads((run.folder / "run.json").read_text())
    assert RunConfig(**content["config"]) == CONFIG
    assert content["format"] == 3
    assert content["rows"] == 600
    assert tuple(content["names"]) == class_names(8)
    assert content["identity"] == identity().to_dict()
