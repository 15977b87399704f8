"""What an export says: each person's newest annotation of each image, and what is not ours."""

from typing import Any

import pytest

from clipcache.label_studio.answers import Answer, read_export
from clipcache.label_studio.labelling import BROKEN, make, read

FORM = read(make(["coat", "hat"]), "it")
USERS = {1: "ann@example.org", 2: "bob@example.org"}
MINE = "a" * 16


def task(row: Any, *annotations: Any, run: str = MINE, suggested: Any = None) -> Any:
    data = {"row": row, "run": run, "suggested": suggested}
    return {"id": 1, "data": data, "annotations": list(annotations)}


def said(number: int, who: Any, choice: str | None, at: str = "2026-01-01", **more: Any) -> Any:
    result = FORM.result(choice) if choice else []
    return {"id": number, "completed_by": who, "updated_at": at, "result": result, **more}


def answers(*tasks: Any) -> list[Answer]:
    return read_export(tasks, FORM, USERS, MINE, 100).answers


def test_choices_skips_and_places() -> None:
    found = answers(
        task(5, said(1, 1, "hat", "c"), suggested=["coat", "hat"]),
        task(6, said(2, 1, None, "b", was_cancelled=True), suggested=["coat"]),
        task(7, said(3, 2, BROKEN, "a"), suggested=[]),
        task(8, said(4, {"id": 2}, "hat", "d"), suggested=["coat"]),
        task(9, said(5, 77, "coat", "e")),
        task(10, said(6, None, "coat", "f")),
    )
    assert found == [
        Answer("a", 7, "bob@example.org", BROKEN, None),
        Answer("b", 6, "ann@example.org", None, None),
        Answer("c", 5, "ann@example.org", "hat", 1),
        Answer("d", 8, "bob@example.org", "hat", -1),
        Answer("e", 9, "label-studio user 77", "coat", None),
        Answer("f", 10, "nobody", "coat", None),
    ]


def test_the_newest_of_a_persons_annotations_counts_also_over_two_tasks_of_an_image() -> None:
    found = answers(
        task(5, said(1, 1, "hat", "b"), said(2, 1, "coat", "a"), said(3, 2, "hat", "a")),
        task(5, said(4, 1, "coat", "c")),
    )
    assert [(a.annotator, a.choice) for a in found] == [
        ("bob@example.org", "hat"),
        ("ann@example.org", "coat"),
    ]


def test_an_answer_that_was_emptied_no_longer_counts() -> None:
    export = read_export(
        [task(5, said(1, 1, "hat", "a"), said(2, 1, None, "b"))], FORM, USERS, MINE, 9
    )
    assert export.answers == []
    assert export.unclear == 1
    assert export.rows == {5}


def test_what_is_no_answer_is_unclear_and_holds_nothing_up() -> None:
    blank = [{"from_name": "class", "type": "choices", "value": {"choices": [" "]}}]
    results = [blank, [{**blank[0], "value": None}], [None], {"a": "b"}, 5]
    tasks = [task(row, said(row, 1, None) | {"result": r}) for row, r in enumerate(results)]
    export = read_export([*tasks, task(9, said(9, 1, "hat"))], FORM, USERS, MINE, 100)
    assert [(a.row, a.choice) for a in export.answers] == [(9, "hat")]
    assert export.unclear == len(results)


@pytest.mark.parametrize("row", [-1, 100, "5", 5.0, True, None, [5]])
def test_a_row_that_is_none_of_the_run_is_foreign(row: Any) -> None:
    export = read_export([task(row, said(1, 1, "hat"))], FORM, USERS, MINE, 100)
    assert (export.answers, export.rows, export.foreign) == ([], set(), 1)


def test_tasks_of_others_are_counted_and_left_alone() -> None:
    others = [
        task(5, said(1, 1, "hat"), said(2, 2, "hat"), run="b" * 16),
        {"id": 2, "data": {"text": "x"}, "annotations": [said(3, 1, "hat")]},
        {"id": 3, "data": "x", "annotations": []},
    ]
    export = read_export(others, FORM, USERS, MINE, 100)
    assert (export.answers, export.rows, export.foreign) == ([], set(), 3)
