"""What people get to look at, what becomes of their answers, and what is ready in time."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from clipcache.arrays import RowIds
from clipcache.desk import Desk
from clipcache.desk.ahead import Ahead
from clipcache.errors import RunError
from clipcache.labels import EXCLUDED, LABEL_STUDIO, SKIPPED
from clipcache.run import Run
from clipcache.run_config import WHILE_THEY_LIKE, RunConfig
from tests.test_threads import blas_threads
from tests.unlabelled import truth, write_unlabelled

TRUTH = truth()
CONFIG = RunConfig("margin", "linear", batch=10, rounds=WHILE_THEY_LIKE, asks="unlabeled")

Sit = Callable[..., Desk]


@pytest.fixture
def sit(tmp_path: Path) -> Iterator[Sit]:
    """Return a function that opens a desk on a run; a second call opens another on the same."""
    desks: list[Desk] = []

    def open_desk(
        *, named: bool = True, known: Callable[[int], bool] = lambda row: False, **changes: object
    ) -> Desk:
        if (tmp_path / "run").exists():
            run = Run.open(tmp_path / "run")
        else:
            cache = write_unlabelled(tmp_path / "c.zarr", named=named, known=known)
            run = Run.begin(tmp_path / "run", replace(CONFIG, **changes), cache)  # type: ignore[arg-type]
        desks.append(Desk(run))
        return desks[-1]

    yield open_desk
    for desk in desks:
        desk.close()
        desk.run.store.close()


def rows_in(desk: Desk, annotator: str, count: int = 1) -> list[int]:
    """Return the rows that somebody gets, after waiting for the round that may be needed."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        cards = desk.hand(annotator, count)
        if cards or desk.status().over:
            return [card.row for card in cards]
        time.sleep(0.01)
    raise AssertionError(f"no image within a minute: {desk.status()}")


def wait_until(holds: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.01)


def answer(desk: Desk, annotator: str, row: int) -> None:
    desk.answer(annotator, row, int(TRUTH[row]))


def test_an_image_stays_with_its_holder_until_it_is_answered(sit: Sit) -> None:
    desk = sit()
    first = rows_in(desk, "ann", 3)
    assert rows_in(desk, "ann", 3) == first
    answer(desk, "ann", first[0])
    assert rows_in(desk, "ann", 3)[:2] == first[1:]
    assert desk.run.ballots.labels() == {first[0]: TRUTH[first[0]]}


def test_several_people_look_at_different_images(sit: Sit) -> None:
    desk = sit()
    hands = [rows_in(desk, name, 2) for name in ("ann", "bob", "cid")]
    assert len({row for hand in hands for row in hand}) == 6


def test_each_image_is_looked_at_by_as_many_as_asked(sit: Sit) -> None:
    desk = sit(per_image=2)
    (row,) = rows_in(desk, "ann")
    assert rows_in(desk, "bob") == [row]
    assert rows_in(desk, "cid") != [row]
    answer(desk, "ann", row)
    assert rows_in(desk, "ann") != [row]
    answer(desk, "bob", row)
    assert desk.run.ballots.labels() == {row: TRUTH[row]}


def test_people_who_go_home_leave_their_images_to_others_and_may_come_back(
    sit: Sit, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = sit()
    (row,) = rows_in(desk, "ann")
    (other,) = rows_in(desk, "bob")
    now = time.monotonic()
    monkeypatch.setattr(desk._hands, "_clock", lambda: now + 14 * 60)
    assert rows_in(desk, "bob") == [other]
    monkeypatch.setattr(desk._hands, "_clock", lambda: now + 16 * 60)
    assert rows_in(desk, "bob", 2) == [other, row]
    answer(desk, "ann", row)
    assert row not in rows_in(desk, "bob", 2)


def test_a_round_is_ready_before_the_last_image_is_answered(sit: Sit) -> None:
    desk = sit()
    for _ in range(60):
        (row,) = rows_in(desk, "ann")
        answer(desk, "ann", row)
        time.sleep(0.02)  # the thread that prepares is to get its turn, as with people it does
    sizes = [len(batch) for batch in desk.run.store.batches()]
    told = [r.labels for r in desk.run.store.rounds()]
    assert sizes[0] == 8
    assert all(size >= 10 for size in sizes[1:])
    early = [seen < every for seen, every in zip(told, np.cumsum(sizes), strict=False)]
    assert len(early) > 3
    assert sum(early) > len(early) / 2


def test_eight_people_at_once_never_meet_and_nothing_is_lost(sit: Sit) -> None:
    desk = sit()

    def work(name: str) -> list[int]:
        said = []
        for _ in range(12):
            row = rows_in(desk, name, 2)[0]
            answer(desk, name, row)
            said.append(row)
        return said

    with ThreadPoolExecutor(8) as threads:
        said = list(threads.map(work, [f"p{i}" for i in range(8)]))
    every = [row for rows in said for row in rows]
    assert len(every) == len(set(every)) == 96
    assert desk.run.ballots.labels() == {row: TRUTH[row] for row in every}
    assert desk.status().labels == 96


def test_undo_brings_back_the_last_image_first_also_after_a_restart(sit: Sit) -> None:
    desk = sit()
    assert desk.undo("ann") == []
    first, second, third = rows_in(desk, "ann", 3)
    answer(desk, "ann", first)
    desk.answer("ann", second, SKIPPED)
    assert desk.undo("ann") == [second]
    assert rows_in(desk, "ann", 2) == [second, third]
    assert desk.undo("bob") == []
    again = sit()
    assert again.undo("ann") == [first]
    assert again.undo("ann") == []
    assert rows_in(again, "ann") == [first]
    assert again.run.ballots.labels() == {}
    assert again.status().labels == 0


@pytest.mark.parametrize("restart", [False, True])
def test_a_group_is_taken_back_as_a_whole(sit: Sit, restart: bool) -> None:
    """Groups of another class or person, or from later on, are others."""
    desk = sit()
    rows = rows_in(desk, "ann", 8)
    assert len(rows) == 8
    desk.answer_many("ann", rows[:2], [1, 1])
    desk.answer_many("ann", rows[2:5], [3, 3, 3])
    desk.answer_many("bob", rows[5:6], [3])
    desk.answer_many("ann", rows[6:], [3, 3])
    desk.answer("ann", rows[3], 4)
    desk = sit() if restart else desk
    assert desk.undo("ann") == [rows[3]]
    assert desk.undo("ann") == rows[6:]
    assert rows_in(desk, "ann", 3) == [*rows[6:], rows[3]]
    assert desk.undo("ann") == [rows[2], rows[4]], "one of them was taken back already"
    assert desk.undo("ann") == rows[:2]
    assert desk.undo("ann") == []
    assert desk.run.ballots.votes == {rows[5]: {"bob": 3}}


def test_groups_right_after_each_other_are_taken_back_one_by_one(sit: Sit) -> None:
    desk = sit()
    rows = rows_in(desk, "ann", 8)
    groups = [rows[start : start + 2] for start in range(0, 8, 2)]
    for group in groups:
        desk.answer_many("ann", group, [3, 3])
    assert [desk.undo("ann") for _ in groups] == groups[::-1]


def test_the_same_answer_again_is_one_answer(sit: Sit) -> None:
    desk = sit()
    (row,) = rows_in(desk, "ann")
    for _ in range(3):
        answer(desk, "ann", row)
    assert len(desk.run.store.history()) == 1
    desk.undo("ann")
    answer(desk, "ann", row)
    assert len(desk.run.store.history()) == 3


def test_bad_answers_leave_nothing_behind(sit: Sit) -> None:
    desk = sit()
    hand = rows_in(desk, "ann", 2)
    with pytest.raises(RunError, match="label 99 for row"):
        desk.answer_many("ann", hand, [0, 99])
    with pytest.raises(RunError, match=r"row 99999 was never proposed"):
        desk.answer("ann", 99999, 0)
    assert desk.run.store.history() == []
    assert rows_in(desk, "ann", 2) == hand


def test_suggestions_come_from_names_first_and_then_from_the_newest_head(sit: Sit) -> None:
    desk = sit()
    (card,) = desk.hand("ann") or [desk._suggester.cards(rows_in(desk, "ann"))[0]]
    assert len(card.suggestions) == 5
    probs = [s.probability for s in card.suggestions]
    assert probs == sorted(probs, key=lambda p: -(p or 0))
    assert all(s.name == desk.names[s.label] for s in card.suggestions)
    while not desk.run.store.rounds():
        answer(desk, "ann", rows_in(desk, "ann")[0])
    desk.close()  # so that this head stays the newest
    head = desk.run.head()
    assert head is not None
    (row,) = rows_in(desk, "bob")
    (shown,) = desk.hand("bob")
    logits = head.logits(desk.run.data.features[np.array([row])].astype(np.float32))[0]
    assert [s.label for s in shown.suggestions] == np.argsort(-logits, kind="stable")[:5].tolist()
    made = desk.add_class("ann", "hat")
    assert made == 8
    assert [s.label for s in desk.hand("bob")[0].suggestions] == [
        s.label for s in shown.suggestions
    ]


def test_without_names_or_labels_classes_are_made_on_the_spot(sit: Sit) -> None:
    desk = sit(named=False)
    (row,) = rows_in(desk, "ann")
    assert desk.hand("ann")[0].suggestions == ()
    desk.answer("ann", row, desk.add_class("ann", "cat"))
    (row,) = rows_in(desk, "ann")
    assert [(s.name, s.probability) for s in desk.hand("ann")[0].suggestions] == [("cat", None)]
    assert desk.status().shortlist == (0, 0)  # nothing was predicted
    groups = desk.grid("ann", 4)
    assert [(g.label, g.name, len(g.cards)) for g in groups] == [(-1, "", 4)]


def test_the_shortlist_counts_what_was_among_the_five(sit: Sit) -> None:
    desk = sit()
    hits = 0
    for place in (0, 4, -1, 2):
        (card,) = [c for c in desk.hand("ann") or [] if c] or desk._suggester.cards(
            rows_in(desk, "ann")
        )
        shown = [s.label for s in card.suggestions]
        label = shown[place] if place >= 0 else next(k for k in range(8) if k not in shown)
        desk.answer("ann", card.row, label)
        hits += place >= 0
    desk.answer("ann", rows_in(desk, "ann")[0], SKIPPED)
    assert desk.status().shortlist == (hits, 4) == (3, 4)
    assert [given.place for given in desk.run.store.history()] == [0, 4, -1, 2, None]
    again = sit()
    assert again.status().shortlist == (3, 4)
    again.undo("ann")
    again.undo("ann")
    assert again.status().shortlist == (2, 3)


def test_a_grid_groups_a_batch_by_class(sit: Sit) -> None:
    desk = sit()
    rows_in(desk, "ann")
    groups = desk.grid("ann", 60)
    cards = [card for group in groups for card in group.cards]
    assert len(cards) >= 8
    assert [len(g.cards) for g in groups] == sorted((len(g.cards) for g in groups), reverse=True)
    for group in groups:
        assert all(card.suggestions[0].label == group.label for card in group.cards)
        sure = [card.suggestions[0].probability or 0 for card in group.cards]
        assert sure == sorted(sure, reverse=True)
    rows = [card.row for card in groups[0].cards]
    desk.answer_many("ann", rows, [groups[0].label] * len(rows))
    assert desk.run.ballots.labels() == dict.fromkeys(rows, groups[0].label)
    assert {given.source for given in desk.run.store.history()} == {"grid"}
    assert {given.place for given in desk.run.store.history()} == {0}


def test_going_back_to_one_image_frees_the_rest_of_a_grid(sit: Sit) -> None:
    desk = sit()
    rows_in(desk, "ann")
    held = {card.row for group in desk.grid("ann", 60) for card in group.cards}
    assert held.isdisjoint(rows_in(desk, "bob", 3))
    assert set(rows_in(desk, "ann", 3)) < held
    assert held.isdisjoint(rows_in(desk, "bob", 60)), "asking for fewer gives nothing away"
    desk.keep("ann", 1)
    kept = rows_in(desk, "ann", 1)
    assert held - set(kept) <= set(rows_in(desk, "cid", len(held))) | set(rows_in(desk, "bob", 3))


def test_disagreements_are_listed_and_decided(sit: Sit) -> None:
    desk = sit(per_image=2)
    (row,) = rows_in(desk, "ann")
    rows_in(desk, "bob")
    desk.answer("ann", row, 1)
    desk.answer("bob", row, 2)
    (dispute,) = desk.disputes()
    assert (dispute.card.row, dispute.opinions) == (row, {"ann": 1, "bob": 2})
    status = desk.status()
    assert (status.disputes, status.labels) == (1, 0)
    assert status.agreement is not None
    assert status.agreement.kind == "Cohen"
    desk.decide("eve", row, 2)
    assert desk.disputes() == []
    assert desk.status().labels == 1
    assert desk.run.ballots.labels() == {row: 2}


def test_an_image_that_was_found_is_shown_to_others_too(sit: Sit) -> None:
    desk = sit(per_image=2)
    found = int(np.setdiff1d(desk.run.pool, rows_in(desk, "ann", 10))[5])
    answer(desk, "ann", found)
    assert found not in rows_in(desk, "ann", 12)
    assert rows_in(desk, "bob")[0] == found
    answer(desk, "bob", found)
    assert desk.run.ballots.labels() == {found: TRUTH[found]}
    assert desk.undo("bob") == [found]
    assert rows_in(desk, "bob")[0] == found
    assert desk.undo("ann") == [found]
    waiting = desk.status().waiting
    assert waiting == len(desk.run.open_rows()), "whoever took it back has it, nobody else"
    assert found not in rows_in(desk, "cleo", 12)


def test_a_label_of_the_cache_can_be_decided_about(sit: Sit) -> None:
    desk = sit(known=lambda row: row % 2 == 0)
    row = int(desk.run.given[3])

    def counts() -> dict[int, int]:
        return {count.label: count.images for count in desk.status().counts}

    before, label = counts(), int(TRUTH[row])
    other = (label + 1) % 8
    desk.decide("ann", row, other)
    assert counts() == before | {label: before[label] - 1, other: before[other] + 1}
    assert desk.status().labels == 0, "nobody was asked for it"
    assert desk.undo("ann") == [row]
    assert counts() == before
    desk.decide("ann", row, EXCLUDED)
    assert counts() == before | {label: before[label] - 1}
    assert row not in rows_in(desk, "ann", 12)


def test_a_decision_is_taken_back_as_the_last_thing_that_was_said(sit: Sit) -> None:
    desk = sit(per_image=2)
    first, second = rows_in(desk, "ann", 2)
    rows_in(desk, "bob", 2)
    for row in (first, second):
        desk.answer("ann", row, 1)
        desk.answer("bob", row, 2)
    desk.decide("ann", first, 1)
    desk.decide("bob", first, 2)
    desk.decide("ann", second, 1)
    assert desk.undo("ann") == [second]
    assert desk.run.ballots.labels() == {first: 2}
    assert [dispute.opinions for dispute in desk.disputes()] == [{"ann": 1, "bob": 2}]
    assert rows_in(desk, "ann", 3)[0] not in (first, second), "it has all answers that it needs"
    assert desk.undo("ann") == [second], "her decision of the first is bob's by now: her answer"
    assert rows_in(desk, "ann", 3)[0] == second


def test_long_lists_come_in_parts(sit: Sit) -> None:
    desk = sit(per_image=2)
    rows = sorted(rows_in(desk, "ann", 6))
    for row, label in zip(rows, [1, 1, 1, SKIPPED, SKIPPED, SKIPPED], strict=True):
        desk.answer("ann", row, label)
        desk.answer("bob", row, label + 1 if label >= 0 else label)
    assert [dispute.card.row for dispute in desk.disputes(2)] == rows[:2]
    assert [card.row for card in desk.put_aside(2)] == rows[3:5]
    assert (desk.status().disputes, desk.status().put_aside) == (3, 3)


def test_the_status_says_how_many_people_are_missing(sit: Sit) -> None:
    desk = sit(per_image=3)
    assert desk.status().lacking == 3
    (row,) = rows_in(desk, "ann")
    desk.answer("ann", row, 1)
    assert desk.status().lacking == 2
    desk.answer("bob", row, 1)
    desk.answer("cid", row, 1)
    assert (desk.status().lacking, desk.status().labels) == (0, 1)


def test_skipped_images_are_put_aside_and_may_be_answered_later(sit: Sit) -> None:
    desk = sit()
    first, second = rows_in(desk, "ann", 2)
    desk.answer("ann", first, SKIPPED)
    desk.answer("ann", second, EXCLUDED)
    assert [card.row for card in desk.put_aside()] == [first]
    status = desk.status()
    assert (status.labels, status.put_aside, status.excluded) == (0, 1, 1)
    desk.answer("bob", first, 4)
    assert desk.put_aside() == []
    assert desk.status().labels == 1


def test_what_another_process_records_is_taken_in(sit: Sit) -> None:
    desk = sit()
    hand = rows_in(desk, "ann", 3)
    other = Run.open(desk.run.folder)
    other.record(hand[:1], [5], annotator="ls", source="label-studio")
    assert rows_in(desk, "ann", 3)[:2] == hand[1:]
    assert desk.status().labels == 1
    other.store.close()


def test_the_status_counts_classes_held_out_images_and_speed(sit: Sit) -> None:
    desk = sit(held_out=20)
    for _ in range(28):
        answer(desk, "ann", rows_in(desk, "ann")[0])
    status = desk.status()
    assert status.held_out == (20, 20)
    assert status.labels == 28
    _, labels = desk.run.labelled()
    assert {c.label: c.images for c in status.counts} == {
        k: int((labels == k).sum()) for k in range(8)
    }
    assert [c.images for c in status.counts] == sorted(c.images for c in status.counts)
    assert status.labels_an_hour == pytest.approx(28 * 60)  # within a minute, which is the least
    assert status.agreement is None


def test_a_run_that_is_over_says_why(sit: Sit) -> None:
    desk = sit(rounds=1)
    while rows := rows_in(desk, "ann"):
        answer(desk, "ann", rows[0])
    assert desk.status().over == "the only round is done"
    assert desk.status().waiting == 0
    desk.undo("ann")
    assert desk.status().over is None


def test_a_round_that_fails_is_told_and_tried_again(
    sit: Sit, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = sit()
    rows_in(desk, "ann")
    real, full = desk.run.prepare, [True]

    def prepare(size: int | None = None) -> RowIds:
        if full[0]:
            raise RunError("no room on the disk")
        return real(size)

    monkeypatch.setattr("clipcache.desk.ahead.RETRY", 0.01)
    monkeypatch.setattr(desk.run, "prepare", prepare)
    while rows := [card.row for card in desk.hand("ann")]:
        answer(desk, "ann", rows[0])
    wait_until(lambda: desk.status().problem == "no room on the disk")
    full[0] = False
    assert rows_in(desk, "ann")
    wait_until(lambda: desk.status().problem is None)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["T-Shirt", "shirt", "night shirt", "skirt", "coat"]),
        ("shirt", ["shirt", "night shirt", "T-Shirt"]),
        ("SHI", ["shirt", "night shirt", "T-Shirt"]),
        ("caot", ["coat"]),
        ("skrit", ["skirt", "shirt"]),
        ("zebra", []),
    ],
)
def test_classes_are_found_by_what_is_typed(sit: Sit, typed: str, found: list[str]) -> None:
    desk = sit(named=False)
    for name in ("T-Shirt", "shirt", "night shirt", "skirt", "coat"):
        desk.add_class("ann", name)
    assert [name for _, name in desk.search(typed)] == found
    assert desk.search("shirt", 1) == [(1, "shirt")]


def test_what_was_answered_while_a_round_was_prepared_is_not_asked_again(
    sit: Sit, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = sit()
    batch = desk.run.batches[0].tolist()
    monkeypatch.setattr(desk, "_batches", 0)  # as if the batch came after its answer
    answer(desk, "bob", batch[0])
    assert desk.status().waiting == len(batch) - 1
    assert batch[0] not in rows_in(desk, "ann", 60)


def test_an_image_that_was_found_comes_back_when_its_answer_is_taken_back(sit: Sit) -> None:
    desk = sit()
    found = int(np.setdiff1d(desk.run.pool, desk.run.open_rows())[3])
    answer(desk, "ann", found)
    assert desk.undo("ann") == [found]
    assert rows_in(desk, "ann", 3)[0] == found


def test_the_page_takes_back_nothing_that_label_studio_says(sit: Sit) -> None:
    desk = sit()
    first, second = rows_in(desk, "ann", 2)
    answer(desk, "ann", first)
    desk.run.record([second], [1], annotator="ann", source=LABEL_STUDIO)
    assert desk.undo("ann") == [first]
    assert desk.undo("ann") == []
    assert desk.run.ballots.labels() == {second: 1}


def test_corrections_are_no_disagreement(sit: Sit) -> None:
    desk = sit()
    (row,) = rows_in(desk, "ann")
    desk.answer("ann", row, 1)
    desk.answer("bob", row, 2)
    assert desk.status().agreement is None


@pytest.mark.parametrize("needed", [1, 30])
def test_looking_without_answering_closes_no_rounds(
    sit: Sit, monkeypatch: pytest.MonkeyPatch, needed: int
) -> None:
    """Not where rounds take long either, so that many images are wanted ahead."""
    monkeypatch.setattr(Ahead, "_needed", lambda self: needed)
    desk = sit()
    for row in rows_in(desk, "ann", 8):
        answer(desk, "ann", row)
    wait_until(lambda: bool(desk.run.store.rounds()))
    time.sleep(0.5)  # ann has asked for nothing more, and holds nothing
    for _ in range(10):
        desk.grid("ann", 60)  # takes all that is left, and learns nothing new by that
        time.sleep(0.05)
    told = [(r.labels, r.seen) for r in desk.run.store.rounds()]
    assert told
    assert len(set(told)) == len(told)


def test_matrix_libraries_keep_to_one_thread_while_people_label(sit: Sit) -> None:
    with threadpool_limits(2):
        before = blas_threads()
        desk = sit()
        assert blas_threads() == 1
        rows_in(desk, "ada")
        assert blas_threads() == 1
        desk.close()
        assert blas_threads() == before
