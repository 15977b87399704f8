"""Which project a run belongs to: `RUN/label-studio.json`, written when it is first pushed.

One project a run, so that an annotation which is gone was deleted, and is not just elsewhere.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from clipcache.durable import write_file
from clipcache.errors import LabelStudioError
from clipcache.label_studio.client import Json, LabelStudio, checked_url
from clipcache.label_studio.images import BACKEND
from clipcache.label_studio.labelling import make
from clipcache.run import Run

BEGIN = "begin one with `clipcache label RUN --cache CACHE --only-begin`"
NAME = "label-studio.json"
TITLE = range(3, 51)
"""Lengths of a title that Label Studio takes."""
PATIENCE = 60
"""Seconds to wait for another push or pull of the same run."""


@dataclass(frozen=True)
class Link:
    """A project of a server, and where its images are."""

    url: str
    project: int
    images: str
    """As `images.address_of` takes it."""

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return where the run in `folder` was pushed to; None where it never was.

        Raises LabelStudioError where the file is damaged.
        """
        try:
            found = json.loads((folder / NAME).read_bytes())
            return cls(str(found["url"]), int(found["project"]), str(found["images"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabelStudioError(
                f"{folder / NAME} cannot be read ({error}): delete it, and push with --url and "
                "--project again"
            ) from error

    def write(self, folder: Path) -> None:
        """Keep it with the run."""
        write_file(folder / NAME, json.dumps(asdict(self), indent=2).encode())


@contextmanager
def alone(run: Run) -> Iterator[None]:
    """Keep other pushes and pulls of a run out; LabelStudioError where one takes too long."""
    try:
        with FileLock(run.folder / "label-studio.lock", timeout=PATIENCE):
            yield
    except Timeout as error:
        raise LabelStudioError(
            f"another push or pull of {run.folder} is under way: wait for it to end"
        ) from error


def answered_by_people(run: Run) -> None:
    """Raise LabelStudioError unless the answers of a run come from people."""
    if not run.config.people:
        raise LabelStudioError(
            f"{run.folder} replays labels that its cache has: name another folder and {BEGIN}"
        )


def open_run(folder: Path) -> Run:
    """Return the run in `folder`; LabelStudioError where there is none that people answer."""
    if not (folder / "run.json").exists():
        raise LabelStudioError(f"there is no run in {folder}: {BEGIN}")
    run = Run.open(folder)
    answered_by_people(run)
    return run


def server_of(folder: Path, url: str | None) -> str:
    """Return the server of a run: the one it was pushed to, or `url` where it never was.

    Raises LabelStudioError where neither is there, or they differ.
    """
    link = Link.read(folder)
    if link is None and url is None:
        raise LabelStudioError(f"{folder} was never pushed: say where to with --url and --project")
    if link is None or url is None:
        return checked_url(url or (link.url if link else ""))
    if checked_url(url) != link.url:
        raise LabelStudioError(
            f"{folder} was pushed to {link.url}, not to {url}: leave --url out, or where that "
            f"server has moved, correct {folder / NAME}"
        )
    return link.url


def project_of(run: Run, studio: LabelStudio, wanted: str | None) -> Json:
    """Return the project of a run: the one it was pushed to, or the one that is `wanted`.

    `wanted` is a number or a title. Raises LabelStudioError where there is none, or it is another.
    """
    link = Link.read(run.folder)
    if link is not None:
        project = studio.project(link.project)
        if wanted not in (None, str(link.project), project["title"]):
            raise LabelStudioError(
                f"{run.folder} belongs to project {link.project}, {project['title']!r}: leave "
                "--project out, or begin another run for another project"
            )
        return project
    if wanted is None:
        raise LabelStudioError(f"{run.folder} was never pushed: name its --project, a new title")
    if wanted.isdecimal():
        return studio.project(int(wanted))
    found = studio.projects(wanted)
    if len(found) > 1:
        numbers = ", ".join(str(project["id"]) for project in found)
        raise LabelStudioError(
            f"{studio.url} has projects {numbers} of the title {wanted!r}: give --project a number"
        )
    if not found:
        raise LabelStudioError(
            f"{studio.url} has no project of the title {wanted!r}: `clipcache label-studio push` "
            "makes it"
        )
    return studio.project(found[0]["id"])


def project_for(
    run: Run, studio: LabelStudio, wanted: str | None, images: str | None
) -> tuple[Json, str]:
    """Return the project of a run as `project_of` does, and where its images are.

    A new title makes a new project. That it belongs to the run is written down before anything is
    put into it; `images` replaces what was said before.
    """
    link = Link.read(run.folder)
    if link is None and wanted and not wanted.isdecimal() and not studio.projects(wanted):
        project = studio.add_project({"title": _checked(wanted), **settings(run)})
    else:
        project = project_of(run, studio, wanted)
    now = Link(studio.url, int(project["id"]), images or (link.images if link else BACKEND))
    if now != link:
        now.write(run.folder)
    return project, now.images


def settings(run: Run) -> Json:
    """Return what a new project is told besides its title."""
    return {
        "label_config": make(run.names),
        "description": "Made by clipcache: batches come and go with `clipcache label-studio sync`.",
        "enable_empty_annotation": False,
        **ordering(run),
    }


def ordering(run: Run) -> Json:
    """Return what every project of ours is told: who is asked what, and with which suggestion."""
    return {
        "sampling": "Uncertainty sampling",
        "show_collab_predictions": True,
        "maximum_annotations": run.config.per_image,
    }


def _checked(title: str) -> str:
    if len(title) not in TITLE:
        raise LabelStudioError(
            f"--project {title!r} has {len(title)} characters: Label Studio takes titles of "
            f"{TITLE.start} to {TITLE.stop - 1}"
        )
    return title
