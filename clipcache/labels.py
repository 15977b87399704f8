"""The label store of a run: the only door to SQLite.

Labels are a history that is only ever added to; the current label of a row is the last one given.
WAL with synchronous=FULL: what a call has returned from survives a power cut.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from clipcache.arrays import Labels, RowIds
from clipcache.errors import RunError

SCHEMA = """
create table if not exists labels (
    id integer primary key, row integer not null, label integer not null, annotator text not null,
    source text not null, round integer not null, time text not null);
create table if not exists batches (
    round integer not null, position integer not null, row integer not null unique,
    primary key (round, position));
create table if not exists rounds (
    round integer primary key, labels integer not null, top1 real not null, top5 real not null,
    ece real not null, uncertainty real not null, agreement real, fit_seconds real not null,
    score_seconds real not null, select_seconds real not null);
"""


@dataclass(frozen=True)
class Round:
    """What was measured when the labels of one batch were complete."""

    round: int
    labels: int
    """Labels that had been given."""
    top1: float
    """Share of the evaluation images whose class was the likeliest, in [0, 1]."""
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


class LabelStore:
    """Batches that were proposed, labels that were given, and what each round measured."""

    def __init__(self, path: Path) -> None:
        """Open or create the store; RunError where the file is not one."""
        self._path = path
        with _explained(path):
            self._db = sqlite3.connect(path, timeout=30)
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def record(
        self, rows: RowIds, labels: Labels, *, rounds: list[int], annotator: str, source: str
    ) -> None:
        """Add labels to the history, all or none; on disk when the call returns."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        entries = [
            (row, label, annotator, source, round, now)
            for row, label, round in zip(rows.tolist(), labels.tolist(), rounds, strict=True)
        ]
        with _explained(self._path), self._db as db:
            db.executemany(
                "insert into labels (row, label, annotator, source, round, time) "
                "values (?, ?, ?, ?, ?, ?)",
                entries,
            )

    def add_batch(self, round: int, rows: RowIds, closed: Round | None) -> None:
        """Store a proposed batch, and in the same breath what the round before it measured."""
        with _explained(self._path), self._db as db:
            if closed:
                values = astuple(closed)
                db.execute(f"insert into rounds values ({', '.join('?' * len(values))})", values)
            db.executemany(
                "insert into batches values (?, ?, ?)",
                [(round, position, row) for position, row in enumerate(rows.tolist())],
            )

    def batches(self) -> list[RowIds]:
        """Return the rows of every batch in the order of asking."""
        found: list[list[int]] = []
        for round, row in self._query("select round, row from batches order by round, position"):
            if round == len(found):
                found.append([])
            found[-1].append(row)
        return [np.array(rows, dtype=np.int64) for rows in found]

    def current(self) -> dict[int, int]:
        """Return row -> label, the last given for each row."""
        return {
            row: label for row, label in self._query("select row, label from labels order by id")
        }

    def rounds(self) -> list[Round]:
        """Return what every closed round measured."""
        return [Round(*values) for values in self._query("select * from rounds order by round")]

    def _query(self, sql: str) -> Iterable[tuple[int, ...]]:
        with _explained(self._path):
            return self._db.execute(sql).fetchall()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite complains of (damaged, locked, disk full) into a RunError."""
    try:
        yield
    except sqlite3.Error as error:
        raise RunError(f"{path} cannot be used as a label store: {error}") from error
