"""Classes that were made in one place and are wanted in the other."""

from clipcache.errors import LabelStudioError
from clipcache.label_studio.client import Json, LabelStudio
from clipcache.label_studio.labelling import BROKEN, Form, extended, read
from clipcache.run import Run

MAKER = "label-studio"
"""Who made a class that was found in a labelling configuration, for nobody says who wrote it."""


def bring_home(run: Run, names: list[str]) -> list[str]:
    """Make the classes that a run does not have yet, and return them."""
    before = run.names
    for name in names:
        if name not in before:
            run.add_class(name, annotator=MAKER)
    return list(run.names[len(before) :])


def form_of(studio: LabelStudio, project: Json) -> Form:
    """Return what a project's labelling configuration has for us."""
    return read(project["label_config"], f"project {project['id']} at {studio.url}")


def carry_over(run: Run, studio: LabelStudio, project: Json) -> tuple[Form, list[str]]:
    """Give the project the classes that only the run has; return its form, and these classes.

    Classes are only ever added: taken out of the configuration, one comes back, for labels of the
    run may already say it.
    """
    if BROKEN in run.names:
        raise LabelStudioError(
            f"the run has a class {BROKEN!r}, which in Label Studio stands for none of them"
        )
    before = form_of(studio, project)
    where = f"project {project['id']} at {studio.url}"
    config = extended(project["label_config"], run.names, where)
    if config is None:
        return before, []
    studio.change_project(project["id"], {"label_config": config})
    after = read(config, where)
    return after, [name for name in after.names if name not in before.names]
