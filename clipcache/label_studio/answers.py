"""What an export says: who chose what for which image, newest last."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from clipcache.label_studio.client import Json
from clipcache.label_studio.labelling import Form
from clipcache.label_studio.tasks import row_of

Who = tuple[int, str]
"""A row, and who said something about it."""


class Answer(NamedTuple):
    """One person's newest annotation of one image."""

    time: str
    """When it was made or last changed; ISO 8601, as Label Studio says it."""
    row: int
    annotator: str
    choice: str | None
    """The class, or `labelling.BROKEN`; None where it was skipped."""
    place: int | None
    """Where the class stood among those that were suggested, -1 not among them; None where nothing
    was suggested, or nothing chosen."""

    @property
    def who(self) -> Who:
        """Return the row and the annotator; an export has one answer of each."""
        return self.row, self.annotator


@dataclass
class Export:
    """What a project knows about a run."""

    answers: list[Answer] = field(default_factory=list)
    """One an image and person, in the order of time."""
    rows: set[int] = field(default_factory=set)
    """Rows that have a task, answered or not."""
    foreign: int = 0
    """Annotations of tasks that are not of this run."""
    unclear: int = 0
    """Annotations that choose no class by its name, or several, without being skipped."""


def read_export(
    tasks: Iterable[Json], form: Form, users: dict[int, str], mine: str, n: int
) -> Export:
    """Return what the tasks of a project say about the run `mine` of `n` rows."""
    found = Export()
    newest: dict[Who, tuple[str, int, Json, Json]] = {}
    for task in tasks:
        row = row_of(task.get("data"), mine, n)
        annotations = task.get("annotations") or []
        if row is None:
            found.foreign += len(annotations)
            continue
        found.rows.add(row)
        for annotation in annotations:
            who = _annotator(annotation.get("completed_by"), users)
            order = (str(annotation.get("updated_at") or ""), int(annotation["id"]))
            if order > newest.get((row, who), ("", -1))[:2]:
                newest[row, who] = (*order, annotation, task["data"])
    for (row, who), (time, _, annotation, data) in newest.items():
        choice = None
        if not annotation.get("was_cancelled"):
            choice = form.choice(annotation.get("result"))
            if choice is None:
                found.unclear += 1
                continue
        found.answers.append(Answer(time, row, who, choice, _place(choice, data)))
    found.answers.sort(key=lambda answer: (answer.time, answer.row, answer.annotator))
    return found


def _annotator(said: Any, users: dict[int, str]) -> str:
    """Return the email of whoever annotated; the number where that person is no longer there."""
    number = said.get("id") if isinstance(said, dict) else said
    return users.get(number, f"label-studio user {number}") if number is not None else "nobody"


def _place(choice: str | None, data: Json) -> int | None:
    suggested = data.get("suggested")
    if choice is None or not suggested or not isinstance(suggested, list):
        return None
    return suggested.index(choice) if choice in suggested else -1
