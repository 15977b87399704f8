"""What a pull records of an export: also where somebody answers on the page as well."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from clipcache.label_studio.client import Json, LabelStudio
from clipcache.label_studio.labelling import make, read
from clipcache.label_studio.pull import Pulled, pull
from clipcache.label_studio.tasks import run_id
from clipcache.labels import DECISION, WITHDRAWN
from clipcache.run import Run
from tests.label_studio.runs import begin

ANN = "ann@example.org"


class Studio:
    """A project in memory, in which Ann alone annotates."""

    url = "http://studio.example"

    def __init__(self, run: Run) -> None:
        self.form = read(make(run.names), "it")
        self.run = run
        self.said: dict[int, list[Any]] = {}
        """Row -> the result of the annotation."""

    def project(self, number: int) -> Json:
        return {"id": number, "title": "it", "label_config": make(self.run.names)}

    def users(self) -> dict[int, str]:
        return {1: ANN}

    def export(self, _number: int) -> list[Json]:
        return [
            {
                "data": {"run": run_id(self.run), "row": row},
                "annotations": [{"id": row, "completed_by": 1, "result": result}] if result else [],
            }
            for row, result in self.said.items()
        ]

    def annotate(self, row: int, label: int) -> None:
        self.said[row] = self.form.result(self.run.names[label])

    def delete(self, row: int) -> None:
        self.said[row] = []


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = begin(tmp_path)
    run.propose()
    yield run
    run.store.close()


@pytest.fixture
def row(run: Run) -> int:
    return int(run.open_rows()[0])


@pytest.fixture
def studio(run: Run) -> Studio:
    return Studio(run)


@pytest.fixture
def pulling(run: Run, studio: Studio) -> Callable[[], Pulled]:
    return lambda: pull(run, cast(LabelStudio, studio), "1")


def vote(run: Run, row: int) -> int | None:
    """Return what Ann's word on a row is by now."""
    return run.ballots.votes.get(row, {}).get(ANN)


def say(run: Run, row: int, label: int, source: str = "page") -> None:
    run.record([row], [label], annotator=ANN, source=source)


def test_an_undo_elsewhere_leaves_the_answer_that_is_still_there(
    run: Run, studio: Studio, row: int, pulling: Callable[[], Pulled]
) -> None:
    studio.annotate(row, 1)
    assert pulling().labels == 1
    say(run, row, 4)
    say(run, row, WITHDRAWN, "undo")
    assert vote(run, row) is None
    assert (pulling().labels, vote(run, row)) == (1, 1)
    assert pulling().labels == 0


def test_an_undo_elsewhere_of_an_answer_that_is_gone_stays(
    run: Run, studio: Studio, row: int, pulling: Callable[[], Pulled]
) -> None:
    studio.annotate(row, 1)
    pulling()
    say(run, row, WITHDRAWN, "undo")
    studio.delete(row)
    pulled = pulling()
    assert (pulled.labels, pulled.withdrawn, vote(run, row)) == (0, 0, None)


def test_a_newer_answer_from_elsewhere_outlives_one_that_is_deleted(
    run: Run, studio: Studio, row: int, pulling: Callable[[], Pulled]
) -> None:
    studio.annotate(row, 3)
    pulling()
    say(run, row, 4)
    pulled = pulling()
    assert (pulled.labels, vote(run, row)) == (0, 4)
    studio.delete(row)
    assert (pulling().withdrawn, vote(run, row)) == (0, 4)


def test_an_answer_that_is_changed_counts_though_there_is_one_from_elsewhere(
    run: Run, studio: Studio, row: int, pulling: Callable[[], Pulled]
) -> None:
    say(run, row, 2)
    studio.annotate(row, 3)
    assert (pulling().labels, vote(run, row)) == (1, 3)
    say(run, row, 4)
    studio.annotate(row, 5)
    assert (pulling().labels, vote(run, row)) == (1, 5)
    studio.delete(row)
    assert (pulling().withdrawn, vote(run, row)) == (1, None)
    studio.annotate(row, 5)
    assert (pulling().labels, vote(run, row)) == (1, 5)


@pytest.mark.parametrize("decided", [[4], [4, WITHDRAWN]])
def test_a_decision_is_no_vote(
    run: Run, studio: Studio, row: int, pulling: Callable[[], Pulled], decided: list[int]
) -> None:
    studio.annotate(row, 3)
    pulling()
    for label in decided:
        say(run, row, label, DECISION)
    assert (pulling().labels, vote(run, row)) == (0, 3)
    studio.delete(row)
    assert (pulling().withdrawn, vote(run, row)) == (1, None)
