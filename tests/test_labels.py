import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcache.arrays import RowIds
from clipcache.errors import RunError
from clipcache.labels import LabelStore, Round

CLOSED = Round(0, 3, 0.5, 0.75, 0.05, 0.4, None, 0.1, 0.2, 0.3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "labels.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[LabelStore]:
    store = LabelStore(path)
    yield store
    store.close()


def rows(*values: int) -> RowIds:
    return np.array(values, dtype=np.int64)


def record(store: LabelStore, given: dict[int, int], round: int = 0) -> None:
    store.record(
        list(given),
        list(given.values()),
        rounds=[round] * len(given),
        annotator="ann",
        source="test",
    )


def test_a_new_store_is_empty(store: LabelStore) -> None:
    assert store.batches() == []
    assert store.history() == []
    assert store.rounds() == []


def test_batches_come_back_in_the_order_of_asking(store: LabelStore) -> None:
    store.add_batch(0, rows(9, 2, 40), closed=None)
    store.add_batch(1, rows(7, 1), closed=CLOSED)
    found = store.batches()
    assert [b.tolist() for b in found] == [[9, 2, 40], [7, 1]]
    assert all(b.dtype == np.int64 for b in found)
    assert store.rounds() == [CLOSED]


def test_the_last_label_counts_and_the_history_keeps_all(store: LabelStore, path: Path) -> None:
    record(store, {4: 1, 5: 2})
    record(store, {4: 3}, round=1)
    assert [(given.row, given.label) for given in store.history()] == [(4, 1), (5, 2), (4, 3)]
    assert [given.label for given in store.history(after=2)] == [3]
    # Read through another door: plain SQLite.
    with sqlite3.connect(path) as db:
        history = db.execute("select row, label, annotator, source, round from labels order by id")
        assert history.fetchall() == [
            (4, 1, "ann", "test", 0),
            (5, 2, "ann", "test", 0),
            (4, 3, "ann", "test", 1),
        ]
    db.close()


def test_everything_survives_opening_again_without_closing(store: LabelStore, path: Path) -> None:
    store.add_batch(0, rows(3, 8), closed=None)
    record(store, {3: 0, 8: 1})
    store.add_batch(1, rows(), closed=CLOSED)
    other = LabelStore(path)
    assert [b.tolist() for b in other.batches()] == [[3, 8]]
    assert [(given.row, given.label) for given in other.history()] == [(3, 0), (8, 1)]
    assert other.rounds() == [CLOSED]
    other.close()


def test_a_batch_is_stored_whole_or_not_at_all(store: LabelStore) -> None:
    store.add_batch(0, rows(1, 2), closed=None)
    with pytest.raises(RunError):
        store.add_batch(1, rows(5, 6, 2), closed=CLOSED)  # row 2 was asked for before
    assert [b.tolist() for b in store.batches()] == [[1, 2]]
    assert store.rounds() == []


def test_labels_are_stored_all_or_none(store: LabelStore) -> None:
    with pytest.raises(ValueError, match="zip"):
        store.record([1, 2], [0], rounds=[0, 0], annotator="a", source="s")
    assert store.history() == []


def test_a_round_is_closed_once(store: LabelStore) -> None:
    store.add_batch(1, rows(), closed=CLOSED)
    with pytest.raises(RunError, match=r"labels\.sqlite"):
        store.add_batch(1, rows(), closed=replace(CLOSED, top1=1.0))
    assert store.rounds() == [CLOSED]


def test_what_returns_is_on_disk(store: LabelStore) -> None:
    assert store._db.execute("pragma journal_mode").fetchone() == ("wal",)
    assert store._db.execute("pragma synchronous").fetchone() == (2,)  # FULL


def test_a_file_that_is_no_store_is_named(path: Path) -> None:
    path.write_bytes(b"this is not a database, not even a little one" * 50)
    with pytest.raises(RunError, match=r"labels\.sqlite cannot be used .* not a database"):
        LabelStore(path)


def test_a_folder_in_its_place_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(RunError, match=r"labels\.sqlite cannot be used"):
        LabelStore(path)


def test_damage_inside_is_an_error_of_ours(store: LabelStore, path: Path) -> None:
    for start in range(0, 2000, 100):
        record(store, dict.fromkeys(range(start, start + 100), 1))
    store._db.execute("pragma wal_checkpoint(truncate)")
    store.close()
    data = bytearray(path.read_bytes())
    data[3 * 4096 :] = b"\xff" * (len(data) - 3 * 4096)  # the schema survives, the pages do not
    path.write_bytes(data)
    damaged = LabelStore(path)
    with pytest.raises(RunError, match=r"labels\.sqlite cannot be used .*malformed"):
        damaged.history()
    damaged.close()


def test_a_round_that_measured_nothing_comes_back_as_it_was(store: LabelStore) -> None:
    nothing = float("nan")
    store.add_batch(1, rows(), closed=replace(CLOSED, top1=nothing, top5=nothing, ece=nothing))
    (found,) = store.rounds()
    assert np.isnan([found.top1, found.top5, found.ece]).all()
    assert replace(found, top1=0.5, top5=0.75, ece=0.05) == CLOSED


def test_classes_come_back_in_the_order_of_making(store: LabelStore, path: Path) -> None:
    store.add_class(5, "zebra", "ann")
    store.add_class(6, "ant", "bob")
    other = LabelStore(path)
    assert other.classes() == ["zebra", "ant"]
    other.add_class(5, "ant", "ann")  # two processes may make one at once
    other.add_class(5, "bee", "ann")
    assert store.classes() == ["zebra", "ant", "bee"]
    other.close()


def test_many_threads_lose_nothing(store: LabelStore) -> None:
    def one(number: int) -> None:
        store.record([number], [0], rounds=[0], annotator=f"a{number}", source="test")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(64)))
    history = store.history()
    assert sorted(given.row for given in history) == list(range(64))
    assert [given.id for given in history] == sorted(given.id for given in history)
