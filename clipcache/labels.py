"""The label store of a run: the only door to SQLite.

Labels are a history that is only ever added to; `ballots.py` says what follows from it.
WAL with synchronous=FULL: what a call has returned from survives a power cut.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import numpy as np

from clipcache.arrays import RowIds
from clipcache.errors import RunError

SCHEMA = """
create table if not exists labels (
    id integer primary key, row integer not null, label integer not null, annotator text not null,
    source text not null, round integer not null, time text not null, place integer);
create table if not exists batches (
    round integer not null, position integer not null, row integer not null unique,
    primary key (round, position));
create table if not exists rounds (
    round integer primary key, labels integer not null, top1 real, top5 real,
    ece real, uncertainty real not null, agreement real, fit_seconds real not null,
    score_seconds real not null, select_seconds real not null,
    seen integer not null, classes integer not null);
create table if not exists classes (
    place integer primary key, name text not null unique, annotator text not null,
    time text not null);
"""

SKIPPED = -1
"""Given in the place of a label: this person cannot tell."""
EXCLUDED = -2
"""Given in the place of a label: a broken image, or one of none of these classes."""
WITHDRAWN = -3
"""Given in the place of a label: what this person said last about this image no longer holds."""

DECISION = "decision"
"""The source of a label that settles an image, whatever others said about it."""
LABEL_STUDIO = "label-studio"
"""The source of a label that was given in Label Studio, where alone it can be taken back."""


class Given(NamedTuple):
    """One entry of the history."""

    id: int
    """Grows with each entry."""
    row: int
    label: int
    """A class, or one of the three marks above."""
    annotator: str
    source: str
    """Where it was given: "page", "label-studio", `DECISION` ..."""
    round: int
    """The batch that asked for it; the newest one where none did."""
    time: str
    """UTC, ISO 8601."""
    place: int | None
    """Where the class stood among those that were suggested, 0 the first; -1 not among them; None
    where that is not known."""


@dataclass(frozen=True)
class Round:
    """What was measured when the labels of one batch were complete."""

    round: int
    labels: int
    """Labels that had been given, without those of evaluation images."""
    top1: float
    """Share of the evaluation images whose class was the likeliest, in [0, 1]; NaN without any."""
    top5: float
    ece: float
    """Expected calibration error on the evaluation images, in [0, 1]."""
    uncertainty: float
    """Mean entropy over the pool, as a share of the highest possible one, in [0, 1]."""
    agreement: float | None
    """Cohen's kappa over the pool with the head of the round before; None in round 0."""
    fit_seconds: float
    score_seconds: float
    select_seconds: float
    """Choosing the next batch, without scoring; 0 in the last round."""
    seen: int = 0
    """The last entry of the history that the head has learned from."""
    classes: int = 0
    """How many classes there were."""


class LabelStore:
    """Batches that were proposed, labels that were given, and what each round measured.

    Any thread may use it, and several processes at once.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the store; RunError where the file is not one."""
        self._path = path
        self._lock = RLock()  # one connection: SQLite lets one thread at a time write in any case
        with self._explained():
            self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Release the file, when no other thread is at it."""
        with self._lock:
            self._db.close()

    def record(
        self,
        rows: Sequence[int],
        labels: Sequence[int],
        *,
        rounds: Sequence[int],
        annotator: str,
        source: str,
        places: Sequence[int | None] | None = None,
    ) -> None:
        """Add entries to the history, all or none; on disk when the call returns."""
        places, now = [None] * len(rows) if places is None else places, _now()
        entries = [
            (row, label, annotator, source, round, now, place)
            for row, label, round, place in zip(rows, labels, rounds, places, strict=True)
        ]
        with self._explained(), self._db as db:
            db.executemany(
                "insert into labels (row, label, annotator, source, round, time, place) "
                "values (?, ?, ?, ?, ?, ?, ?)",
                entries,
            )

    def history(self, after: int = 0) -> list[Given]:
        """Return the entries of the history that came after the one with this id, in order."""
        columns = ", ".join(Given._fields)
        found = self._query(f"select {columns} from labels where id > ? order by id", after)
        return [Given(*values) for values in found]

    def add_batch(self, round: int, rows: RowIds, closed: Round | None) -> None:
        """Store a proposed batch, and in the same breath what the round before it measured."""
        with self._explained(), self._db as db:
            if closed:
                values = astuple(closed)
                db.execute(f"insert into rounds values ({', '.join('?' * len(values))})", values)
            db.executemany(
                "insert into batches values (?, ?, ?)",
                [(round, position, row) for position, row in enumerate(rows.tolist())],
            )

    def batches(self, first: int = 0) -> list[RowIds]:
        """Return the rows of every batch from the `first` on, in the order of asking."""
        found: list[list[int]] = []
        sql = "select round, row from batches where round >= ? order by round, position"
        for round, row in self._query(sql, first):
            if round == first + len(found):
                found.append([])
            found[-1].append(row)
        return [np.array(rows, dtype=np.int64) for rows in found]

    def rounds(self) -> list[Round]:
        """Return what every closed round measured."""
        found = self._query("select * from rounds order by round")
        # SQLite keeps a NaN as NULL.
        nan = float("nan")
        return [
            Round(*values[:2], *(nan if v is None else v for v in values[2:5]), *values[5:])
            for values in found
        ]

    def last_round(self) -> int | None:
        """Return the number of the last closed round; None before there is one."""
        ((number,),) = self._query("select max(round) from rounds")
        return None if number is None else int(number)

    def add_class(self, first: int, name: str, annotator: str) -> None:
        """Store the name of a class that was made after the run began; on disk on return.

        It gets the place after the last one, the first one `first`. Nothing happens where another
        process has made it meanwhile.
        """
        sql = (
            "insert or ignore into classes select coalesce(max(place) + 1, ?), ?, ?, ? from classes"
        )
        with self._explained(), self._db as db:
            db.execute(sql, (first, name, annotator, _now()))

    def classes(self) -> list[str]:
        """Return the names of the classes that were made after the run began, in order."""
        return [name for (name,) in self._query("select name from classes order by place")]

    def _query(self, sql: str, *values: int) -> list[tuple[Any, ...]]:
        with self._explained():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what SQLite complains of (damaged, locked, disk full) into a RunError."""
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            raise RunError(f"{self._path} cannot be used as a label store: {error}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
