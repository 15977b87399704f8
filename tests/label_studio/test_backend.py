"""What the backend answers, to whom, and that no request fits or believes anything."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from clipcache.desk.suggestions import Suggester
from clipcache.errors import ImageError, SourceError
from clipcache.images.folder import Folder
from clipcache.label_studio import backend as room
from clipcache.label_studio.backend import HEADER, SIDE, USER, Secrets, make_backend, origins_of
from clipcache.label_studio.images import address_of
from clipcache.label_studio.labelling import make
from clipcache.label_studio.tasks import family, run_id
from clipcache.photos import Photos
from clipcache.run import Run
from tests.label_studio.runs import CONFIG, begin, truth
from tests.pictures import draw
from tests.synthetic import FAILED

ORIGIN = "http://studio.example:8080"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = begin(tmp_path, replace(CONFIG, held_out=3))
    run.propose()
    yield run
    run.store.close()


@pytest.fixture
def hints() -> list[bool]:
    return []


@pytest.fixture
def backend(run: Run, hints: list[bool], tmp_path: Path) -> TestClient:
    """The app, and a client that knows no password."""
    draw(5, (2000, 1000)).save(tmp_path / "000005.jpg", exif=b"Exif\0\0secret place")
    (tmp_path / "000006.jpg").write_text("no image")
    pictures = Photos(Folder(tmp_path), run.cache.keys().tolist())
    return TestClient(
        make_backend(run, pictures, Suggester(run), hint=hints.append, origins=[ORIGIN])
    )


@pytest.fixture
def studio(run: Run, backend: TestClient) -> TestClient:
    """The same, knowing the password."""
    backend.auth = (USER, Secrets.of(run).password)
    return backend


def label_all(run: Run) -> None:
    rows = run.open_rows().tolist()
    names = [run.names.index(truth(row)) for row in rows]
    run.record(rows, names, annotator="a", source="test")


def asked(run: Run, rows: list[Any], config: str | None = None) -> dict[str, Any]:
    tasks = [{"id": i, "data": {"row": row, "run": run_id(run)}} for i, row in enumerate(rows)]
    return {"tasks": tasks, "label_config": config or make(run.names), "project": "1.2"}


def test_health_and_setup_say_which_head_is_the_newest(run: Run, studio: TestClient) -> None:
    assert studio.get("/health").json()["status"] == "UP"
    token = {"access_token": "a clear secret", "schema": make(run.names), "project": "1.2"}
    assert studio.post("/setup", json=token).json() == {
        "model_version": f"{family(run)}class names"
    }
    label_all(run)
    assert studio.post("/setup", json=token).json()["model_version"].endswith("class names")
    run.propose()
    assert studio.post("/setup", json=token).json() == {"model_version": f"{family(run)}round 0"}
    kept = [path for path in run.folder.rglob("*") if path.is_file()]
    assert kept
    assert all(b"a clear secret" not in path.read_bytes() for path in kept)


def test_predictions_are_those_of_the_newest_head(run: Run, studio: TestClient) -> None:
    label_all(run)
    run.propose()
    rows = run.open_rows().tolist()
    results = studio.post("/predict", json=asked(run, rows)).json()["results"]
    head = run.head()
    assert head is not None
    logits = head.logits(run.data.features[rows].astype(np.float32)).astype(np.float64)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for each, shares in zip(results, probs, strict=True):
        (said,) = each
        first, second = np.sort(shares)[:-3:-1]
        assert said["score"] == pytest.approx(first - second, abs=1e-5)
        assert said["model_version"] == f"{family(run)}round 0"
        assert said["result"][0]["value"]["choices"] == [run.names[shares.argmax()]]


def test_tasks_of_others_get_an_empty_answer_each(run: Run, studio: TestClient) -> None:
    """Evaluation images and images that failed are nobody's tasks either."""
    row, failed = int(run.pool[0]), FAILED[0]
    body = asked(run, [row, failed, -1, 10**9, "5", True, None])
    body["tasks"] += [{"data": {"row": row, "run": "another"}}, {"data": "?"}, {}, None]
    results = studio.post("/predict", json=body).json()["results"]
    assert [len(result) for result in results] == [1] + [0] * 10


def test_nobody_is_led_where_an_image_measures(run: Run, studio: TestClient) -> None:
    rows = run.held_out.tolist()
    results = studio.post("/predict", json=asked(run, rows)).json()["results"]
    assert [(said["result"], said["score"]) for (said,) in results] == [([], 0.0)] * 3


def test_a_webhook_is_a_hint_and_never_more(
    run: Run, backend: TestClient, hints: list[bool]
) -> None:
    headers = {HEADER: Secrets.of(run).webhook}
    lie = {"annotation": {"result": [], "task": 1}, "task": {"data": {"row": 1}}}
    for action in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"):
        assert backend.post("/webhook", headers=headers, json={"action": action, **lie}).is_success
    assert hints == [False] * 3
    for action in ("PROJECT_UPDATED", "TASKS_CREATED", None, 5):
        assert backend.post("/webhook", headers=headers, json={"action": action}).is_success
    assert hints == [False] * 3
    assert run.store.history() == []


def test_start_training_is_a_hint_to_fit(run: Run, studio: TestClient, hints: list[bool]) -> None:
    answer = studio.post("/webhook", json={"action": "START_TRAINING", "project": {"id": 1}})
    assert answer.json() == {"status": "queued"}
    assert hints == [True]
    assert run.store.rounds() == []


WRONG = [
    {},
    {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"},
    {"Authorization": "Bearer x"},
    {"Authorization": "Basic " + base64.b64encode(f"{USER}:wrong".encode()).decode()},
    {"Authorization": "Basic " + base64.b64encode("\u00e9:\u00e9".encode()).decode()},
    {HEADER: "wrong"},
]


@pytest.mark.parametrize("path", ["/health", "/setup", "/predict", "/webhook"])
def test_nobody_without_the_secret_is_answered(
    backend: TestClient, hints: list[bool], path: str
) -> None:
    for headers in WRONG:
        method = "GET" if path == "/health" else "POST"
        body = {"action": "START_TRAINING"}
        answer = backend.request(method, path, headers=headers, json=body)
        assert answer.status_code == 401
    assert hints == []


def test_each_secret_opens_one_door(run: Run, backend: TestClient) -> None:
    known = Secrets.of(run)
    assert len({known.password, known.webhook, known.images}) == 3
    assert backend.get("/health", headers={HEADER: known.webhook}).status_code == 401
    assert backend.get("/health", auth=(USER, known.webhook)).status_code == 401
    assert Secrets.of(run) == known


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"{}", 400),
        (b'{"tasks": 5}', 400),
        (b'{"tasks": [], "label_config": "<View"}', 400),
        (b'{"tasks": [], "label_config": "<View><Text name=\'t\' value=\'$t\'/></View>"}', 400),
    ],
)
def test_a_body_that_makes_no_sense(studio: TestClient, body: bytes, status: int) -> None:
    assert studio.post("/predict", content=body).status_code == status


def test_a_huge_body_is_refused_while_it_arrives(
    studio: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LARGEST", 1000)
    assert studio.post("/predict", content=b" " * 1001).status_code == 413


def test_an_image_is_made_anew_for_who_has_its_token(run: Run, backend: TestClient) -> None:
    address = address_of("http://testserver/", run.folder)
    answer = backend.get(address(5, "unused"), headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["content-type"] == "image/jpeg"
    assert b"secret place" not in answer.content
    with Image.open(BytesIO(answer.content)) as image:
        assert image.size == (SIDE, SIDE // 2)
    other = backend.get(address(5, ""), headers={"Origin": "http://other.example"})
    assert "access-control-allow-origin" not in other.headers


def test_an_image_without_its_token(run: Run, backend: TestClient) -> None:
    token = address_of("http://testserver", run.folder)(5, "").split("/")[-2]
    for path in (f"/image/{token}/6", "/image/x/5", "/image/%C3%A9/5"):
        assert backend.get(path).status_code == 403
    for path in (f"/image/{token}/../5", f"/image/{token}/..%2f5", f"/image/{token}/-5", "/image"):
        assert backend.get(path).status_code in (403, 404)
    for row in ("9" * 5000, "05", "+5", "5.0", "%D9%A5"):
        for known in ("x", token):
            assert backend.get(f"/image/{known}/{row}").status_code in (403, 404)
    assert backend.post(f"/image/{token}/5").status_code == 405


def test_an_image_that_cannot_be_shown(run: Run, backend: TestClient) -> None:
    address = address_of("http://testserver", run.folder)
    for row in (4, 6, 10**6):
        assert backend.get(address(row, "")).status_code == 404


def test_a_source_that_fails_is_told_once(run: Run) -> None:
    """A page of a project asks for many images; the reason is the same for all of them."""

    class Bucket:
        def read(self, key: str) -> bytes:
            if key == "000007.jpg":
                raise ImageError("file not found")
            raise SourceError("the credentials have expired: renew them")

    said: list[str] = []
    photos = Photos(Bucket(), run.cache.keys().tolist())
    app = make_backend(
        run, photos, Suggester(run), hint=lambda _: None, origins=[ORIGIN], say=said.append
    )
    client, address = TestClient(app), address_of("http://testserver", run.folder)
    for row, told in ((5, 1), (6, 1), (7, 1), (8, 2)):
        answer = client.get(address(row, ""))
        assert answer.status_code == (404 if row == 7 else 503)
        assert said == ["the credentials have expired: renew them"] * told


class Slow:
    """Images that cannot be read until they may be."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def read(self, key: str) -> bytes:
        self.may.wait()
        raise ImageError(f"{key} is not there")


def test_nobody_waits_behind_images(run: Run) -> None:
    """A page of a project asks for more of them at once than there are threads for requests."""
    slow = Slow()
    photos = Photos(slow, run.cache.keys().tolist())
    app = make_backend(run, photos, Suggester(run), hint=lambda _: None, origins=[ORIGIN])
    address = address_of("http://testserver", run.folder)

    async def ask() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), timeout=None) as client:
            images = [asyncio.create_task(client.get(address(row, ""))) for row in range(120)]
            await asyncio.sleep(0)
            client.auth = httpx.BasicAuth(USER, Secrets.of(run).password)
            try:
                for path, body in [("setup", {}), ("predict", asked(run, [int(run.pool[0])]))]:
                    going = client.post(f"http://testserver/{path}", json=body)
                    assert (await asyncio.wait_for(going, 30)).status_code == 200
                assert not any(image.done() for image in images)
            finally:
                slow.may.set()
                answers = await asyncio.gather(*images)
            return [answer.status_code for answer in answers]

    assert asyncio.run(ask()) == [404] * 120


def test_loopback_has_several_names() -> None:
    assert origins_of("https://studio.example/path") == ["https://studio.example"]
    assert origins_of("http://10.0.0.5:8080") == ["http://10.0.0.5:8080"]
    names = ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"]
    for url in names:
        assert origins_of(url) == names
    assert origins_of("http://localhost") == [name.removesuffix(":8080") for name in names]
