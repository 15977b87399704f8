"""From Label Studio: what people said, as its export says it.

Nothing is remembered between two pulls. What a person said last is in the run's own history, so
what differs from it is new, and what is no longer there was deleted.

One person may answer on the page as well. What is newer there holds, whatever is deleted in Label
Studio; what is undone there leaves the answer that Label Studio still has.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby

from clipcache.label_studio.answers import Answer, Who, read_export
from clipcache.label_studio.classes import bring_home, form_of
from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.labelling import BROKEN, folded
from clipcache.label_studio.link import alone, answered_by_people, project_of
from clipcache.label_studio.tasks import run_id
from clipcache.labels import DECISION, EXCLUDED, LABEL_STUDIO, SKIPPED, WITHDRAWN
from clipcache.run import Run


@dataclass(frozen=True)
class Pulled:
    """What a pull did; zeros and empty lists where nothing had changed."""

    project: int
    labels: int = 0
    """New or changed answers that name a class; also those that were undone on the page alone."""
    skipped: int = 0
    """New or changed answers that say: I cannot tell."""
    excluded: int = 0
    """New or changed answers that say: broken, or none of these."""
    withdrawn: int = 0
    """Answers that were deleted."""
    unclear: int = 0
    """Annotations that choose no class, or several; they count as no answer."""
    foreign: int = 0
    """Annotations of tasks that are not of this run; they are left alone."""
    annotators: list[str] = field(default_factory=list)
    """Whose answers were new."""
    classes_here: list[str] = field(default_factory=list)
    """Classes that the run has got from the project."""


def pull(run: Run, studio: LabelStudio, wanted: str | None = None) -> Pulled:
    """Record what changed in a run's project since the last pull.

    `wanted` is as in `push`. Raises LabelStudioError where the server refuses; nothing is recorded
    twice, however often it is called.
    """
    answered_by_people(run)
    with alone(run):
        project = project_of(run, studio, wanted)
        form = form_of(studio, project)
        tasks = studio.export(int(project["id"]))
        export = read_export(tasks, form, studio.users(), run_id(run), run.data.n)
        asked = {row for batch in run.store.batches() for row in batch.tolist()}
        answers = [answer for answer in export.answers if answer.row in asked]
        new_classes = bring_home(run, [*form.names, *_chosen(answers)])
        (before, elsewhere), now = _said_before(run), _said_now(run, answers)
        changed = [each for each in answers if before.get(each.who) != now[each.who]]
        missing = before.keys() - now.keys() - elsewhere
        gone = sorted(who for who in missing if who[0] in export.rows)
        _record(run, changed, now)
        for row, annotator in gone:
            run.record([row], [WITHDRAWN], annotator=annotator, source=LABEL_STUDIO)
        kinds = Counter(min(now[each.who], 0) for each in changed)
        return Pulled(
            project=int(project["id"]),
            labels=kinds[0],
            skipped=kinds[SKIPPED],
            excluded=kinds[EXCLUDED],
            withdrawn=len(gone),
            unclear=export.unclear,
            foreign=export.foreign + len(export.answers) - len(answers),
            annotators=sorted({each.annotator for each in changed}),
            classes_here=new_classes,
        )


def _chosen(answers: list[Answer]) -> list[str]:
    return [each.choice for each in answers if each.choice is not None and each.choice != BROKEN]


def _said_before(run: Run) -> tuple[dict[Who, int], set[Who]]:
    """Return what each person said last in Label Studio, as the run knows it and it still holds.

    Also returned is who said something else since, in another place.
    """
    said: dict[Who, int] = {}
    elsewhere: set[Who] = set()
    for given in run.store.history():
        who = given.row, given.annotator
        if given.source == DECISION:  # no vote, so it neither replaces one nor takes one back
            continue
        if given.label == WITHDRAWN:
            said.pop(who, None)
        elif given.source == LABEL_STUDIO:
            said[who] = given.label
            elsewhere.discard(who)
        else:
            elsewhere.add(who)
    return said, elsewhere


def _said_now(run: Run, answers: list[Answer]) -> dict[Who, int]:
    """Return the same as the project knows it; its classes are all in the run by now."""
    places = {folded(name): place for place, name in reversed(list(enumerate(run.names)))}
    places |= {name: place for place, name in enumerate(run.names)}

    def label(choice: str | None) -> int:
        if choice is None:
            return SKIPPED
        return EXCLUDED if choice == BROKEN else places.get(choice, places[folded(choice)])

    return {each.who: label(each.choice) for each in answers}


def _record(run: Run, answers: list[Answer], labels: dict[Who, int]) -> None:
    """Record answers in the order in which they were given, as many at once as may be."""
    for annotator, group in groupby(answers, lambda each: each.annotator):
        together = list(group)
        run.record(
            [each.row for each in together],
            [labels[each.who] for each in together],
            annotator=annotator,
            source=LABEL_STUDIO,
            places=[each.place for each in together],
        )
