"""The backend beside a real Label Studio: it registers, hears of annotations, fits and predicts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from clipcache.label_studio.backend import USER, Secrets
from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.labelling import read
from clipcache.label_studio.tasks import family
from clipcache.run import Run
from tests.label_studio.conftest import Person, Server, free_port, wait_for
from tests.label_studio.runs import begin, photos, truth

pytestmark = pytest.mark.labelstudio

TITLE = "with a backend"
COMMAND = "from clipcache.cli.label_studio import command; command()"
SOON = 60
"""Seconds in which what happens in the background must have happened."""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = begin(tmp_path)
    yield run
    run.store.close()


@pytest.fixture
def studio(server: Server) -> Iterator[LabelStudio]:
    with server.client() as studio:
        yield studio


@contextmanager
def at_work(run: Run, server: Server, folder: Path, port: int) -> Iterator[str]:
    """Run the command, and yield its address; it says nothing wrong and no secret."""
    log = folder / "log"
    options = ["--images", str(photos(folder / "photos")), "--port", str(port)]
    where = ["--url", server.url, "--project", TITLE]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "backend", str(run.folder), *options, *where],
            env={**os.environ, "LABEL_STUDIO_API_KEY": server.personal},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    said = log.read_text()
    assert code == 0
    assert "error" not in said, said
    for secret in (server.personal, server.legacy, *vars(Secrets.of(run)).values()):
        assert secret not in said


def test_the_backend_keeps_run_and_project_in_step(
    run: Run, studio: LabelStudio, server: Server, tmp_path: Path
) -> None:
    port = free_port()
    with at_work(run, server, tmp_path, port) as backend:
        _annotate_and_look(run, studio, server, backend)
    # A second time nothing is registered twice, and what was missed meanwhile is made up for.
    ann, project = server.person("ann@example.org"), studio.projects(TITLE)[0]["id"]
    form = read(studio.project(project)["label_config"], "it")
    row = int(run.open_rows()[0])
    (task,) = [t for t in studio.tasks(project) if t["data"]["row"] == row]
    ann.annotate(task["id"], form.result(truth(row)))
    (hook,) = studio.webhooks(project)
    studio.set_webhook({"headers": {}, "is_active": False}, hook["id"])
    with at_work(run, server, tmp_path, port):
        assert wait_for(lambda: row in run.ballots.labels(), SOON)
        assert wait_for(lambda: studio.webhooks(project)[0]["is_active"], SOON)
        assert [known["headers"] for known in studio.webhooks(project)] == [hook["headers"]]
        time.sleep(1)  # the ML backend is set right after the webhook
    assert len(studio.backends(project)) == 1


def _annotate_and_look(run: Run, studio: LabelStudio, server: Server, backend: str) -> None:
    ann = server.person("ann@example.org")
    registered = wait_for(lambda: _registered(studio), SOON)
    assert registered, "neither project nor backend"
    project = registered["project"]
    assert registered["state"] == "CO"
    assert registered["basic_auth_pass_is_set"]

    # The first batch, annotated: webhooks are all that tells, and the next batch comes by itself.
    form = read(studio.project(project)["label_config"], "it")
    first = run.open_rows().tolist()
    _image_is_served(studio, project, server)
    for task in list(studio.tasks(project)):
        ann.annotate(task["id"], form.result(truth(task["data"]["row"])))
    assert wait_for(lambda: set(first) <= set(run.ballots.labels()), SOON)
    version = f"{family(run)}round 0"
    assert wait_for(lambda: studio.project(project)["model_version"] == version, SOON)
    assert wait_for(lambda: studio.versions(project) == [version], SOON)
    assert len(studio.predictions(project)) >= 6

    _retrieve_predictions(run, studio, project, ann, version)
    _predictions_are_quick(run, studio, project, backend)

    # "Start training" with labels that the head has not seen: one more round, though the batch is
    # not complete.
    (task,) = [t for t in studio.tasks(project) if t["data"]["row"] == int(run.open_rows()[0])]
    ann.annotate(task["id"], form.result(truth(task["data"]["row"])))
    assert wait_for(lambda: task["data"]["row"] in run.ballots.labels(), SOON)
    ann.send("POST", f"/api/ml/{registered['id']}/train", json={})
    assert wait_for(lambda: len(run.store.rounds()) > 1, SOON)
    newer = version.replace("round 0", "round 1")
    assert wait_for(lambda: studio.versions(project) == [newer], SOON)
    assert len(studio.webhooks(project)) == len(studio.backends(project)) == 1


def _registered(studio: LabelStudio) -> Any:
    """Return what Label Studio says about the backend, once it is connected."""
    for project in studio.projects(TITLE):
        for found in studio.backends(project["id"]):
            return found
    return None


def _image_is_served(studio: LabelStudio, project: int, server: Server) -> None:
    """A page of Label Studio may read the image, another one may not, and nobody without token."""
    data = next(studio.tasks(project))["data"]
    answer = httpx.get(data["image"], headers={"Origin": server.url})
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["access-control-allow-origin"] == server.url
    other = httpx.get(data["image"], headers={"Origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in other.headers
    row = data["row"]
    assert httpx.get(data["image"].replace(f"/{row}", f"/{row + 1}")).status_code == 403


def _retrieve_predictions(
    run: Run, studio: LabelStudio, project: int, person: Person, version: str
) -> None:
    """The Data Manager's action asks the backend, which says the same as the push did."""
    before = {p["task"]: (p["score"], p["result"]) for p in studio.predictions(project)}
    studio.drop_version(project, version)
    assert studio.predictions(project) == []
    selected = {"selectedItems": {"all": True, "excluded": []}, "ordering": []}
    query = {"id": "retrieve_tasks_predictions", "project": project}
    person.send("POST", "/api/dm/actions", params=query, json=selected)
    after = {p["task"]: (p["score"], p["result"]) for p in studio.predictions(project)}
    assert {p["model_version"] for p in studio.predictions(project)} == {version}
    assert set(before) < set(after), "tasks that have an answer were asked about as well"
    for task, (score, result) in before.items():
        assert after[task][0] == pytest.approx(score)
        assert after[task][1][0]["value"] == result[0]["value"]


def _predictions_are_quick(run: Run, studio: LabelStudio, project: int, backend: str) -> None:
    tasks = [*studio.tasks(project)] * 10
    body = {"tasks": tasks[:50], "label_config": studio.project(project)["label_config"]}
    known = Secrets.of(run)
    began = time.perf_counter()
    answer = httpx.post(f"{backend}/predict", json=body, auth=(USER, known.password))
    print(f"/predict for 50 tasks: {1000 * (time.perf_counter() - began):.0f} ms")  # noqa: T201
    results = answer.json()["results"]
    assert len(results) == 50
    assert all(len(result) == 1 and result[0]["result"] for result in results)
