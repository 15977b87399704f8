"""To Label Studio: the open batch, never the pool, with what the newest head says about it.

Every step looks at what is there and adds what is missing. So pushing twice makes nothing twice,
and neither does pushing after a crash, wherever it happened.
"""

from dataclasses import dataclass, field

from clipcache.desk.suggestions import Suggester
from clipcache.label_studio.classes import bring_home, carry_over, form_of
from clipcache.label_studio.client import Json, LabelStudio
from clipcache.label_studio.images import address_of
from clipcache.label_studio.link import alone, answered_by_people, ordering, project_for
from clipcache.label_studio.tasks import (
    family,
    guesses,
    model_version,
    prediction,
    row_of,
    run_id,
    task_data,
)
from clipcache.run import Run

VIEW = {"title": "clipcache: least certain first", "type": "list", "target": "tasks"}
ORDER = ["tasks:predictions_score"]


@dataclass(frozen=True)
class Pushed:
    """What a push did; zeros and empty lists where all was there already."""

    project: int
    address: str
    """Where people label."""
    open: int
    """Images that wait for an answer."""
    tasks: int
    """New tasks."""
    changed: int
    """Tasks that have new suggestions or another address."""
    predictions: int
    """New predictions."""
    model_version: str | None
    """What the newest head is called; None where nothing can be predicted yet."""
    dropped: list[str] = field(default_factory=list)
    """Model versions whose predictions were superseded, and deleted."""
    classes_there: list[str] = field(default_factory=list)
    """Classes that the project has got from the run."""
    classes_here: list[str] = field(default_factory=list)
    """Classes that the run has got from the project."""


def push(
    run: Run,
    studio: LabelStudio,
    wanted: str | None = None,
    images: str | None = None,
    *,
    suggester: Suggester | None = None,
) -> Pushed:
    """Put the open batch of a run into its project, making either where there is none.

    `wanted` is the number or title of the project, needed the first time only. `images` is where
    browsers find the images, as in `images.address_of`; by default where it was said last. A
    `suggester` of this run saves making one. Raises LabelStudioError where the server refuses; then
    push again.
    """
    answered_by_people(run)
    with alone(run):
        project, images = project_for(run, studio, wanted, images)
        number = int(project["id"])
        new_here = bring_home(run, form_of(studio, project).names)
        form, new_there = carry_over(run, studio, project)
        _set(studio, project, ordering(run))
        run.propose()
        rows, version = run.open_rows(), model_version(run)
        found = guesses(run, suggester or Suggester(run), rows)
        address = address_of(images, run.folder)
        tasks = _Tasks(studio, number, run)
        new, changed = tasks.bring(task_data(run, form, found, address))
        told = {tasks.ids[row]: prediction(form, guess, version) for row, guess in found.items()}
        predicted = _predict(studio, project, version, told)
        dropped = _drop_superseded(studio, number, family(run), version)
        _add_view(studio, number)
        return Pushed(
            project=number,
            address=f"{studio.url}/projects/{number}/data",
            open=len(rows),
            tasks=new,
            changed=changed,
            predictions=predicted,
            model_version=version,
            dropped=dropped,
            classes_there=new_there,
            classes_here=new_here,
        )


class _Tasks:
    """The tasks of a run in its project."""

    def __init__(self, studio: LabelStudio, project: int, run: Run) -> None:
        self._studio, self._project = studio, project
        self.ids: dict[int, int] = {}
        """Row -> task."""
        self._data: dict[int, Json] = {}
        mine = run_id(run)
        for task in studio.tasks(project):
            row = row_of(task["data"], mine, run.data.n)
            if row is not None:
                self.ids.setdefault(row, int(task["id"]))
                self._data.setdefault(row, task["data"])

    def bring(self, wanted: dict[int, Json]) -> tuple[int, int]:
        """Make the tasks that are missing, change those that differ; return how many of each."""
        new = [row for row in wanted if row not in self.ids]
        changed = [row for row, data in wanted.items() if self._data.get(row, data) != data]
        for row in changed:
            self._studio.change_task(self.ids[row], wanted[row])
        made = self._studio.add_tasks(self._project, [wanted[row] for row in new])
        self.ids |= dict(zip(new, made, strict=True))
        return len(new), len(changed)


def _set(studio: LabelStudio, project: Json, wanted: Json) -> None:
    """Change the settings of a project that are not as they should be."""
    differing = {name: value for name, value in wanted.items() if project.get(name) != value}
    if differing:
        studio.change_project(project["id"], differing)


def _predict(studio: LabelStudio, project: Json, version: str | None, told: dict[int, Json]) -> int:
    """Add the predictions that are missing, then let them decide the order; return how many."""
    if version is None:
        return 0
    number = int(project["id"])
    there = {p["task"] for p in studio.predictions(number) if p["model_version"] == version}
    missing = [{"task": task, **said} for task, said in told.items() if task not in there]
    studio.add_predictions(number, missing)
    # The project can only name a version that it has predictions of.
    if missing or there:
        _set(studio, project, {"model_version": version})
    return len(missing)


def _drop_superseded(
    studio: LabelStudio, project: int, family: str, version: str | None
) -> list[str]:
    """Delete the predictions of older heads of this run, which would be averaged with the new."""
    old = [v for v in studio.versions(project) if v.startswith(family) and v != version]
    for each in old:
        studio.drop_version(project, each)
    return sorted(old)


def _add_view(studio: LabelStudio, project: int) -> None:
    """Add the view that lists what is asked for first on top, unless it is there."""
    titles = [view.get("data", {}).get("title") for view in studio.views(project)]
    if VIEW["title"] not in titles:
        studio.add_view(project, {**VIEW, "ordering": ORDER})
