"""Three rounds with a real Label Studio: what people do there arrives, and nothing twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clipcache.errors import LabelStudioError
from clipcache.label_studio.client import Json, LabelStudio
from clipcache.label_studio.labelling import BROKEN, Form, read
from clipcache.label_studio.pull import pull
from clipcache.label_studio.push import VIEW, push
from clipcache.label_studio.sync import sync
from clipcache.label_studio.token import Token
from clipcache.labels import EXCLUDED, SKIPPED, WITHDRAWN
from clipcache.run import Run
from tests.label_studio.conftest import Person, Server
from tests.label_studio.runs import CONFIG, DOLLAR, HOSTILE, begin, truth

pytestmark = pytest.mark.labelstudio


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = begin(tmp_path, names=(HOSTILE, DOLLAR))
    yield run
    run.store.close()


@pytest.fixture
def studio(server: Server) -> Iterator[LabelStudio]:
    with server.client() as studio:
        yield studio


@pytest.fixture
def ann(server: Server) -> Person:
    return server.person("ann@example.org")


def form_in(studio: LabelStudio, project: int) -> Form:
    return read(studio.project(project)["label_config"], "it")


def by_row(studio: LabelStudio, project: int) -> dict[int, Json]:
    return {task["data"]["row"]: task for task in studio.tasks(project)}


def listed(studio: LabelStudio, project: int) -> list[int]:
    """Return the tasks in the order of our view."""
    (view,) = [v for v in studio.views(project) if v["data"]["title"] == VIEW["title"]]
    query = {"project": project, "view": view["id"], "page_size": 100, "fields": "all"}
    return [task["id"] for task in studio._call("GET", "/api/tasks", query=query)["tasks"]]


def scores(studio: LabelStudio, project: int) -> dict[int, float]:
    predictions = studio.predictions(project)
    assert len({p["task"] for p in predictions}) == len(predictions), "one for each task"
    return {p["task"]: p["score"] for p in predictions}


def history(run: Run) -> list[tuple[int, int, str, str]]:
    return [(g.row, g.label, g.annotator, g.source) for g in run.store.history()]


def test_three_rounds(run: Run, studio: LabelStudio, ann: Person) -> None:
    """The whole way: push, annotate by /next, pull, retrain, push the next batch."""
    title = "three rounds"
    first = push(run, studio, title, "https://photos.example/{key}")
    project = first.project
    assert (first.tasks, first.open, first.predictions) == (8, 8, 8)
    assert str(first.model_version).endswith("class names")
    again = push(run, studio)
    assert (again.tasks, again.changed, again.predictions) == (0, 0, 0)
    settings = studio.project(project)
    assert settings["sampling"] == "Uncertainty sampling"
    assert settings["title"] == title

    form = form_in(studio, project)
    assert form.names == list(run.names)
    for number in range(3):
        asked = set(run.open_rows().tolist())
        seen = []
        while (task := _next(ann, project)) is not None:
            seen.append(task)
            ann.annotate(task["id"], form.result(truth(task["data"]["row"])))
        assert {task["data"]["row"] for task in seen} == asked
        assert seen[0]["data"]["image"] == f"https://photos.example/{seen[0]['data']['key']}"
        pulled = pull(run, studio)
        assert pulled.labels == len(asked)
        assert pulled.annotators == ["ann@example.org"]
        assert {run.ballots.labels()[row] for row in asked} == {
            run.names.index(truth(row)) for row in asked
        }
        assert pull(run, studio).labels == 0
        pushed = push(run, studio)
        assert (pushed.tasks, pushed.predictions, pushed.open) == (6, 6, 6)
        assert str(pushed.model_version).endswith(f"round {number}")
        assert len(pushed.dropped) == 1
        assert studio.versions(project) == [pushed.model_version]
        assert studio.project(project)["model_version"] == pushed.model_version
        _check_order(studio, ann, project)
        again = push(run, studio)
        assert (again.tasks, again.changed, again.predictions, again.dropped) == (0, 0, 0, [])
    assert len(run.store.rounds()) == 3
    assert len(by_row(studio, project)) == 8 + 3 * 6
    assert {given.source for given in run.store.history()} == {"label-studio"}
    assert {given.place for given in run.store.history()[8:]} <= set(range(-1, 5))


def _next(person: Person, project: int) -> Any:
    """Return the next task; None where there is no more."""
    answer = person.http.get(f"/api/projects/{project}/next")
    return answer.json() if answer.status_code == 200 else None


def _check_order(studio: LabelStudio, person: Person, project: int) -> None:
    """The least certain is asked first: by /next, and at the top of the view."""
    certainty = scores(studio, project)
    sure = sorted(certainty.values())
    assert len(sure) == 6
    assert sure[0] < sure[-1]
    lowest = min(certainty, key=lambda task: certainty[task])
    assert person.next_task(project)["id"] == lowest
    in_view = [task for task in listed(studio, project) if task in certainty]
    assert [certainty[task] for task in in_view] == sure


def test_what_else_people_do(run: Run, studio: LabelStudio, server: Server, ann: Person) -> None:
    """Skip, broken, another person, a change, a deletion, an empty answer, somebody's own tasks."""
    project = push(run, studio, "what else", "https://photos.example/{row}").project
    form = form_in(studio, project)
    bob = server.person("bob@example.org")
    tasks = by_row(studio, project)
    a, b, c, d, e, *_ = rows = sorted(tasks)
    assert rows == sorted(run.open_rows().tolist())
    id_of = {row: task["id"] for row, task in tasks.items()}
    ann.annotate(id_of[a], form.result(HOSTILE))
    ann.annotate(id_of[b], [], skip=True)
    ann.annotate(id_of[c], form.result(BROKEN))
    ann.annotate(id_of[d], [])
    to_change = bob.annotate(id_of[e], form.result("class 1"))
    twice = bob.annotate(id_of[a], form.result(DOLLAR))
    (foreign,) = studio.add_tasks(project, [{"image": "x", "likely": "x", "row": a, "run": "?"}])
    ann.annotate(foreign, form.result("class 0"))

    pulled = pull(run, studio)
    assert (pulled.labels, pulled.skipped, pulled.excluded) == (3, 1, 1)
    assert (pulled.unclear, pulled.foreign, pulled.withdrawn) == (1, 1, 0)
    assert pulled.annotators == ["ann@example.org", "bob@example.org"]
    hostile, dollar = run.names.index(HOSTILE), run.names.index(DOLLAR)
    said = set(history(run))
    assert said == {
        (a, hostile, "ann@example.org", "label-studio"),
        (b, SKIPPED, "ann@example.org", "label-studio"),
        (c, EXCLUDED, "ann@example.org", "label-studio"),
        (e, 1, "bob@example.org", "label-studio"),
        (a, dollar, "bob@example.org", "label-studio"),
    }
    before = history(run)
    assert pull(run, studio).annotators == []
    assert history(run) == before

    bob.change(to_change, form.result("class 2"))
    bob.delete(twice)
    pulled = pull(run, studio)
    assert (pulled.labels, pulled.withdrawn) == (1, 1)
    assert set(history(run)[len(before) :]) == {
        (e, 2, "bob@example.org", "label-studio"),
        (a, WITHDRAWN, "bob@example.org", "label-studio"),
    }
    assert run.ballots.labels()[a] == hostile
    assert pull(run, studio).withdrawn == 0


def test_classes_made_in_either_place_reach_the_other(
    run: Run, studio: LabelStudio, ann: Person
) -> None:
    project = push(run, studio, "classes", "https://photos.example/{key}").project
    config = studio.project(project)["label_config"]
    there = config.replace(
        '<Choice value="class 0"', '<Choice value="made there"/><Choice value="class 0"', 1
    )
    studio.change_project(project, {"label_config": there})
    here = run.add_class("made here", annotator="ann")
    row = int(run.open_rows()[0])
    form = form_in(studio, project)
    ann.annotate(by_row(studio, project)[row]["id"], form.result("made there"))
    assert pull(run, studio).classes_here == ["made there"]
    assert run.ballots.labels()[row] == run.names.index("made there")
    pushed = push(run, studio)
    assert pushed.classes_there == ["made here"]
    assert set(form_in(studio, project).names) == set(run.names)
    assert run.names[here] == "made here"
    assert push(run, studio).classes_there == []


def test_many_classes_have_buttons_and_a_search(
    tmp_path: Path, studio: LabelStudio, ann: Person
) -> None:
    names = tuple(f"kind {number}" for number in range(40))
    run = begin(tmp_path, replace(CONFIG, held_out=2), names=(*names, DOLLAR))
    project = push(run, studio, "many", "https://photos.example/{key}").project
    form = form_in(studio, project)
    assert form.buttons
    measuring = set(run.held_out.tolist())
    assert _next(ann, project)["data"]["row"] in measuring
    searched = {"from_name": form.holder, "to_name": form.image, "type": "taxonomy"}
    for row, task in by_row(studio, project).items():
        offered = [option["value"] for option in task["data"]["options"]]
        assert offered == [*task["data"]["suggested"], BROKEN]
        assert len(offered) == (1 if row in measuring else 6)
        chosen = [{**searched, "value": {"taxonomy": [[truth(row)]]}}]
        ann.annotate(task["id"], chosen)
    synced = sync(run, studio)
    assert (synced.labels, synced.pushed.predictions) == (10, 6)
    assert sorted(studio.predictions(project)[0]["result"][0]["value"]) == ["choices"]
    run.store.close()


class Dying(LabelStudio):
    """A client whose process dies when the server has made its first change, unheard."""

    def _send(self, method: str, path: str, **how: Any) -> Any:
        answer = super()._send(method, path, **how)
        if method != "GET":
            raise KeyboardInterrupt
        return answer


def test_a_push_that_died_anywhere_is_completed_by_the_next(
    run: Run, server: Server, ann: Person
) -> None:
    """Each change of a first push, and of later ones that replace predictions, is the last once.

    Every push goes one change further than the one before, and dies there.
    """
    title, images = "dying", "https://photos.example/{key}"
    for at_least in (3, 3, 4):
        deaths = 0
        while True:
            with Dying(server.url, Token(server.personal)) as dying:
                try:
                    push(run, dying, title, images)
                except KeyboardInterrupt:
                    deaths += 1
                    continue
                break
        assert deaths >= at_least
        _check_whole(run, server, title)
        _answer_all(run, server, ann, title)


def _check_whole(run: Run, server: Server, title: str) -> None:
    """One project, one task an asked row, one prediction a task and of one version, one view."""
    with server.client() as studio:
        (project,) = studio.projects(title)
        number = project["id"]
        rows = Counter(task["data"]["row"] for task in studio.tasks(number))
        assert rows == Counter(np.concatenate(run.store.batches()).tolist())
        assert len(scores(studio, number)) == len(run.open_rows())
        assert len(studio.versions(number)) == 1
        titles = [view["data"]["title"] for view in studio.views(number)]
        assert titles.count(VIEW["title"]) == 1


def _answer_all(run: Run, server: Server, person: Person, title: str) -> None:
    with server.client() as studio:
        (project,) = studio.projects(title)
        form = form_in(studio, project["id"])
        open_rows = set(run.open_rows().tolist())
        for row, task in by_row(studio, project["id"]).items():
            if row in open_rows:
                person.annotate(task["id"], form.result(truth(row)))
        pull(run, studio)


def test_what_is_refused_is_said_in_one_line(run: Run, server: Server) -> None:
    with server.client() as studio:
        with pytest.raises(LabelStudioError, match="has no project 4711, or the token's owner"):
            push(run, studio, "4711")
        with pytest.raises(LabelStudioError, match="never pushed: name its --project"):
            pull(run, studio)
        with pytest.raises(LabelStudioError, match="titles of 3 to 50"):
            push(run, studio, "ab")
        shapes = "<View><Image name='i' value='$image'/><RectangleLabels name='r' toName='i'>"
        shapes += "<Label value='x'/></RectangleLabels></View>"
        other = studio.add_project({"title": "boxes", "label_config": shapes})
        with pytest.raises(LabelStudioError, match="configuration of another kind"):
            push(run, studio, str(other["id"]))


def test_legacy_tokens_may_be_off(server: Server, run: Run) -> None:
    with server.client() as studio, server.client(personal=False) as legacy:
        studio._call("POST", "/api/jwt/settings", json=_kinds(legacy=False))
        try:
            with pytest.raises(LabelStudioError, match="no longer takes legacy tokens") as caught:
                push(run, legacy, "no legacy")
            assert server.legacy not in str(caught.value)
        finally:
            studio._call("POST", "/api/jwt/settings", json=_kinds(legacy=True))
        assert push(run, legacy, "legacy", "https://photos.example/{key}").tasks == 8
        assert pull(run, legacy).labels == 0


def _kinds(*, legacy: bool) -> Json:
    return {"legacy_api_tokens_enabled": legacy, "api_tokens_enabled": True}
