"""Runs in which people answer: what they are asked, and what their answers do."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcache.arrays import RowIds
from clipcache.ballots import OPEN, Ballots
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.writer import CacheWriter
from clipcache.errors import RunError
from clipcache.labels import DECISION, EXCLUDED, SKIPPED, WITHDRAWN
from clipcache.learner import Learner
from clipcache.run import Run
from clipcache.run_config import WHILE_THEY_LIKE, RunConfig
from tests import synthetic
from tests.synthetic import CHUNK_ROWS, FAILED, class_names, write_cache
from tests.unlabelled import truth, write_unlabelled

TRUTH = truth()
PEOPLE = RunConfig("margin", "linear", batch=6, rounds=WHILE_THEY_LIKE, asks="unlabeled")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run.begin(tmp_path / "run", PEOPLE, write_unlabelled(tmp_path / "c.zarr"))
    yield run
    run.store.close()


def answer(run: Run, rows: RowIds | Sequence[int], annotator: str = "ann") -> None:
    rows = np.array(rows, dtype=np.int64)
    run.record(rows, TRUTH[rows], annotator=annotator, source="test")


def test_a_pool_without_any_label_is_labelled_to_its_last_image(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", 60, held_out=False, named=False)
    run = Run.begin(tmp_path / "run", PEOPLE, cache)
    for index in range(8):
        assert run.add_class(f"class {index}", annotator="ann") == index
    asked: list[int] = []
    while len(batch := run.propose()):
        asked += batch.tolist()
        answer(run, batch)
    assert sorted(asked) == sorted(set(range(60)) - set(FAILED))
    assert run.stopped() == "every image of the pool was asked for"
    assert len(run.propose()) == 0
    rows, labels = run.labelled()
    assert rows.tolist() == sorted(asked)
    np.testing.assert_array_equal(labels, TRUTH[rows])
    assert all(np.isnan(r.top1) for r in run.store.rounds())
    assert run.store.rounds()[-1].labels == len(asked)
    run.store.close()


def test_known_labels_teach_and_are_not_asked_for(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", known=lambda row: row % 2 == 0)
    run = Run.begin(tmp_path / "run", PEOPLE, cache)
    known = [r for r in range(600) if r % 2 == 0 and r % 5 and r not in FAILED]
    assert run.labelled()[0].tolist() == known
    batch = run.propose()
    assert (batch % 2 == 1).all()
    answer(run, batch)
    run.propose()
    assert run.labelled()[0].tolist() == sorted([*known, *batch.tolist()])
    (closed,) = run.store.rounds()
    assert closed.labels == len(batch)
    assert closed.top1 > 0.6  # measured on the known labels of the test split
    run.store.close()


def test_labels_that_people_are_to_give_anew_decide_nothing(tmp_path: Path) -> None:
    config = replace(PEOPLE, asks="all")
    told = []
    for name, known in (("knows", lambda row: True), ("tests", lambda row: row % 5 == 0)):
        cache = write_unlabelled(tmp_path / f"{name}.zarr", known=known)
        run = Run.begin(tmp_path / name, config, cache)
        for _ in range(3):
            answer(run, run.propose())
        told.append([batch.tolist() for batch in run.store.batches()])
        assert len(run.labelled()[0]) == sum(map(len, told[-1]))
        run.store.close()
    assert told[0] == told[1]


def test_held_out_images_are_asked_first_measured_and_never_taught(tmp_path: Path) -> None:
    config = replace(PEOPLE, held_out=40)
    run = Run.begin(tmp_path / "run", config, write_unlabelled(tmp_path / "c.zarr"))
    held_out = set(run.held_out.tolist())
    assert len(held_out) == 40
    assert all(row % 5 == 0 for row in held_out)  # the test split
    batch = run.propose()
    assert held_out < set(batch.tolist())
    answer(run, batch)
    assert held_out.isdisjoint(run.propose().tolist())
    assert set(run.labelled()[0].tolist()) == set(batch.tolist()) - held_out
    assert set(run.measured()[0].tolist()) == held_out
    (closed,) = run.store.rounds()
    rows = np.array(sorted(held_out))
    head = run.head()
    assert head is not None
    guesses = head.logits(run.data.features[rows].astype(np.float32)).argmax(axis=1)
    assert closed.top1 == pytest.approx((guesses == TRUTH[rows]).mean())
    assert closed.labels == len(batch) - 40
    run.store.close()


def test_without_a_test_split_images_are_held_out_of_the_pool(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", held_out=False)
    run = Run.begin(tmp_path / "run", replace(PEOPLE, held_out=30), cache)
    assert len(run.held_out) == 30
    assert not set(run.held_out.tolist()) & set(run.pool.tolist())
    assert len(run.pool) == 600 - 30 - len(FAILED)
    run.store.close()


def test_what_is_skipped_or_excluded_is_settled_and_teaches_nothing(run: Run) -> None:
    batch = run.propose()
    run.record(batch[:2], [SKIPPED, EXCLUDED], annotator="ann", source="test")
    answer(run, batch[2:])
    assert set(run.propose().tolist()).isdisjoint(batch.tolist())
    assert run.labelled()[0].tolist() == sorted(batch[2:].tolist())


def test_what_is_withdrawn_is_open_again(run: Run) -> None:
    batch = run.propose()
    answer(run, batch)
    run.record(batch[3:4], [WITHDRAWN], annotator="ann", source="test")
    assert run.open_rows().tolist() == [batch[3]]
    np.testing.assert_array_equal(run.propose(), batch)


def test_a_batch_can_be_prepared_while_people_look_at_the_last_one(run: Run) -> None:
    batch = run.propose()
    answer(run, batch[:5])
    following = run.prepare()
    assert len(following) == 6
    assert set(following.tolist()).isdisjoint(batch.tolist())
    assert run.open_rows().tolist() == [*batch[5:].tolist(), *following.tolist()]
    assert [r.labels for r in run.store.rounds()] == [5]
    answer(run, batch[5:])
    answer(run, following)
    run.prepare()
    assert [r.labels for r in run.store.rounds()] == [5, 14]


def test_images_that_are_being_looked_at_count_as_chosen(run: Run) -> None:
    """A strategy that wants variety must not ask for the likes of what is open already."""
    batch = run.propose()
    answer(run, batch[:4])
    history = run._history(run.store.batches())
    learner = Learner(run.data, run.config)
    head = learner.close(history).head
    rows, labels = learner._labeled_or_asked(history, head)
    assert set(rows.tolist()) == set(batch.tolist())
    guesses = head.logits(run.data.features[batch[4:]].astype(np.float32)).argmax(axis=1)
    assert labels[4:].tolist() == guesses.tolist()


def test_the_history_alone_gives_every_batch_again(run: Run) -> None:
    """Each round says how much of the history it had seen, whoever said what meanwhile."""
    rng = np.random.default_rng(5)
    open_rows = run.propose().tolist()
    for step in range(60):
        row = open_rows.pop(0) if open_rows else int(run.propose()[0])
        if step % 7 == 3:
            run.record([row], [SKIPPED], annotator="ann", source="test")
        elif step == 20:
            made = run.add_class("something else", annotator="bob")
            run.record([row], [made], annotator="bob", source="test")
        else:
            answer(run, [row])
        if step % 11 == 5:  # somebody changes their mind about what taught long ago
            old = int(rng.choice(run.labelled()[0]))
            run.record([old], [int(rng.integers(8))], annotator="bob", source="test")
        if len(open_rows) < 3:
            open_rows += run.prepare().tolist()
    batches, rounds = run.store.batches(), run.store.rounds()
    assert len(rounds) > 6
    assert {r.classes for r in rounds} == {8, 9}
    learner = Learner(run.data, run.config)
    for number, closed in enumerate(rounds):
        ballots = Ballots()
        ballots.add(given for given in run.store.history() if given.id <= closed.seen)
        history = run.history_of(batches[: number + 1], rounds[:number], ballots, closed.classes)
        again = learner.close(history)
        assert again.batch.tolist() == batches[number + 1].tolist()
        saved = run.head_path(number).read_bytes()
        again.head.save(run.folder / "again.safetensors")
        assert (run.folder / "again.safetensors").read_bytes() == saved


def test_a_class_made_on_the_spot_is_in_the_next_head(run: Run) -> None:
    batch = run.propose()
    made = run.add_class("  hat   stand ", annotator="ann")
    assert made == 8
    assert run.add_class("Hat Stand", annotator="bob") == 8
    assert run.add_class("CLASS 3", annotator="bob") == 3
    assert run.names == (*class_names(8), "hat stand")
    with pytest.raises(RunError, match="a class needs a name"):
        run.add_class(" \t", annotator="ann")
    with pytest.raises(RunError, match=r"the name 'hat\\ud83d' is no text"):
        run.add_class("hat\ud83d", annotator="ann")
    run.record(batch[:1], [8], annotator="ann", source="test")
    answer(run, batch[1:])
    run.propose()
    head = run.head()
    assert head is not None
    logits = head.logits(run.data.features[batch[:1]].astype(np.float32))
    assert logits.shape == (1, 9)
    assert logits.argmax() == 8
    other = Run.open(run.folder)
    assert other.names == run.names
    other.store.close()


def test_an_image_that_was_not_asked_for_may_be_labelled(run: Run) -> None:
    batch = run.propose()
    own = int(np.setdiff1d(run.pool, batch)[17])
    answer(run, [own], annotator="bob")
    answer(run, batch)
    following = run.propose()
    assert own not in following
    assert own in run.labelled()[0]
    assert [r.labels for r in run.store.rounds()] == [len(batch) + 1]
    test_row = int(run.data.test[0])
    with pytest.raises(RunError, match=f"row {test_row} was never proposed"):
        answer(run, [test_row])


def test_an_image_that_somebody_found_is_open_until_all_have_looked_at_it(tmp_path: Path) -> None:
    config = replace(PEOPLE, per_image=2)
    run = Run.begin(tmp_path / "run", config, write_unlabelled(tmp_path / "c.zarr", 60))
    batch = run.propose()
    own = int(np.setdiff1d(run.pool, batch)[7])
    answer(run, [own], "ann")
    assert run.open_rows().tolist() == [*batch.tolist(), own]
    for person in ("ann", "bob"):
        answer(run, batch, person)
    assert run.propose().tolist() == [own]
    answer(run, [own], "bob")
    assert own not in run.propose()
    assert own in run.labelled()[0]
    run.store.close()


def test_a_label_of_the_cache_counts_until_somebody_decides_otherwise(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", known=lambda row: row % 2 == 0)
    run = Run.begin(tmp_path / "run", PEOPLE, cache)
    answer(run, run.propose())
    rows, labels = run.labelled()
    wrong, none = run.given[3:5].tolist()
    with pytest.raises(RunError, match=f"row {wrong} was never proposed"):
        answer(run, [wrong])
    other = int(TRUTH[wrong] + 1) % 8
    run.record([wrong, none], [other, EXCLUDED], annotator="eve", source=DECISION)
    expected = {**dict(zip(rows.tolist(), labels.tolist(), strict=True)), wrong: other}
    del expected[none]
    found = run.labelled()
    assert dict(zip(*(part.tolist() for part in found), strict=True)) == expected
    assert found[0].tolist() == sorted(expected)
    run.propose()
    assert run.store.rounds()[0].labels == len(run.batches[0]), "nobody was asked for the others"
    run.record([wrong, none], [WITHDRAWN] * 2, annotator="eve", source=DECISION)
    np.testing.assert_array_equal(run.labelled()[1], labels)
    run.store.close()


def test_several_people_look_at_each_image(tmp_path: Path) -> None:
    config = replace(PEOPLE, per_image=2)
    run = Run.begin(tmp_path / "run", config, write_unlabelled(tmp_path / "c.zarr"))
    batch = run.propose()
    answer(run, batch, "ann")
    np.testing.assert_array_equal(run.propose(), batch)
    answer(run, batch[1:], "bob")
    run.record(batch[:1], (TRUTH[batch[:1]] + 1) % 8, annotator="bob", source="test")
    assert run.ballots.differing() == [batch[0]]
    assert set(run.propose().tolist()).isdisjoint(batch.tolist())
    assert run.labelled()[0].tolist() == sorted(batch[1:].tolist())
    run.record(batch[:1], TRUTH[batch[:1]], annotator="eve", source="decision")
    assert run.labelled()[0].tolist() == sorted(batch.tolist())
    run.store.close()


def test_where_nothing_can_be_learned_yet_random_images_follow(run: Run) -> None:
    batch = run.propose()
    run.record(batch, [SKIPPED] * len(batch), annotator="ann", source="test")
    following = run.propose()
    assert len(following) == 6
    assert set(following.tolist()).isdisjoint(batch.tolist())
    assert run.store.rounds() == []
    assert run.head() is None
    answer(run, following)
    assert len(run.propose()) == 6
    assert [r.round for r in run.store.rounds()] == [1]


def test_two_processes_that_prepare_at_once_make_one_batch_after_the_other(run: Run) -> None:
    batch = run.propose()
    answer(run, batch[:4])
    other = Run.open(run.folder)
    run.prepare()
    other.prepare()
    assert [len(b) for b in run.store.batches()] == [8, 6, 6]
    asked = np.concatenate(run.store.batches())
    assert len(set(asked.tolist())) == len(asked)
    assert all(run.ballots.standing(row) == OPEN for row in asked[4:].tolist())
    other.store.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"init": "stratified:1"}, "--init stratified:1 needs to know labels"),
        ({"init": "kmeans:9999"}, "asks for more images than the pool has"),
        ({"stop": "plateau"}, "--stop plateau looks at accuracy, .* --held-out 50"),
        ({"stop": "agreement,gain:0.1"}, "looks at accuracy"),
        ({"head_start": "continue"}, "people may make new ones; give fresh"),
        ({"eval_size": 5}, "--eval-size 5, but there are 0 test images"),
    ],
)
def test_options_that_cannot_work_are_refused(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr")
    with pytest.raises(RunError, match=words):
        Run.begin(tmp_path / "run", replace(PEOPLE, **changes), cache)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_a_pool_that_is_all_labelled_leaves_nothing_to_ask(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", known=lambda row: True)
    with pytest.raises(RunError, match="no image to ask people about that has no label; give"):
        Run.begin(tmp_path / "run", PEOPLE, cache)
    run = Run.begin(tmp_path / "run", replace(PEOPLE, asks="all"), cache)
    assert len(run.propose()) == 8
    run.store.close()


def test_names_that_are_given_join_those_of_the_cache(tmp_path: Path) -> None:
    cache = write_cache(tmp_path / "c.zarr")
    config = replace(PEOPLE, asks="all", head="text_prior")
    run = Run.begin(tmp_path / "run", config, cache, ("hat", "class 2"))
    assert run.names == (*class_names(8), "hat")
    answer(run, run.propose())
    run.propose()
    assert run.store.rounds()[0].classes == 9
    run.store.close()
    again = Run.open(tmp_path / "run")
    assert again.names == (*class_names(8), "hat")
    again.store.close()


def test_a_rehearsal_leaves_no_trace(run: Run) -> None:
    run.rehearse()
    batch = run.propose()
    run.rehearse()
    answer(run, batch[:3])
    run.rehearse()
    assert run.store.rounds() == []
    assert len(run.store.batches()) == 1
    assert len(run.store.history()) == 3
    assert not list((run.folder / "heads").iterdir())
    answer(run, batch[3:])
    other = Run.open(run.folder)  # which has not rehearsed
    assert other.prepare().tolist() == run.store.batches()[1].tolist()
    other.store.close()


def test_a_pool_of_which_nobody_can_tell_anything_comes_to_an_end(tmp_path: Path) -> None:
    run = Run.begin(tmp_path / "run", PEOPLE, write_unlabelled(tmp_path / "c.zarr", 60))
    while len(batch := run.propose()):
        assert run.stopped() is None
        run.record(batch, [SKIPPED] * len(batch), annotator="ann", source="test")
    assert run.stopped() == "every image of the pool was asked for"
    some = run.pool[:9]
    answer(run, some)  # after all
    run.prepare()
    assert [r.labels for r in run.store.rounds()] == [9]
    run.store.close()


@pytest.mark.parametrize("rounds", [2, WHILE_THEY_LIKE])
def test_the_last_round_has_the_last_labels(tmp_path: Path, rounds: int) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", 60)
    run = Run.begin(tmp_path / "run", replace(PEOPLE, rounds=rounds), cache)
    run.propose()
    while run.stopped() is None:
        run.prepare()  # ahead of every answer
        for row in run.open_rows()[:5].tolist():
            answer(run, [row])
    while len(still := run.open_rows()):
        answer(run, still[:1])
    run.prepare()
    assert run.store.rounds()[-1].labels == len(run.labelled()[0])
    assert len(run.prepare()) == 0
    run.store.close()


def test_what_the_cache_learns_of_a_name_later_changes_no_run(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr")
    run = Run.begin(tmp_path / "run", replace(PEOPLE, head="text_prior"), cache, ("class 8",))
    answer(run, run.propose())
    before = run.prepare().tolist()
    run.store.close()
    with CacheWriter.open(cache.path, synthetic.identity(), chunk_rows=CHUNK_ROWS) as writer:
        writer.write_text(synthetic.text(9))
    again = Run.open(tmp_path / "run")
    assert again.data.text is not None
    assert again.data.text.described() == class_names(8)
    learner = Learner(again.data, again.config)
    closed = learner.close(again.history_of(again.batches[:1], [], again.ballots, classes=9))
    assert closed.batch.tolist() == before
    again.store.close()


def test_a_driver_that_only_proposes_and_records_gets_reopened_rows_too(run: Run) -> None:
    first = run.propose()
    answer(run, first)
    second = run.propose()
    answer(run, second)
    run.record(first[2:3], [WITHDRAWN], annotator="ann", source="test")
    assert run.propose().tolist() == [first[2]]
    answer(run, run.propose())
    assert set(run.propose().tolist()).isdisjoint([*first.tolist(), *second.tolist()])


def test_a_cache_that_was_moved_is_found_again(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr")
    Run.begin(tmp_path / "run", PEOPLE, cache).store.close()
    cache.path.rename(tmp_path / "moved.zarr")
    moved = EmbeddingCache.open(tmp_path / "moved.zarr")
    run = Run.begin(tmp_path / "run", PEOPLE, moved)
    assert run.cache.path == tmp_path / "moved.zarr"
    run.store.close()
    again = Run.open(tmp_path / "run")  # which knows by now
    assert len(again.cache.keys()) == 600
    again.store.close()


def test_more_names_than_images_are_no_hindrance(tmp_path: Path) -> None:
    cache = write_unlabelled(tmp_path / "c.zarr", 60)
    names = tuple(f"name {i}" for i in range(300))
    run = Run.begin(tmp_path / "run", PEOPLE, cache, names)
    assert len(run.propose()) == len(run.pool)
    run.store.close()
