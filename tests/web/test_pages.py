"""What the pages show and what they do, in this process."""

import asyncio
import io
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event

import httpx
import pytest
from PIL import Image
from starlette.testclient import TestClient

from clipcache.desk import Desk
from clipcache.desk.ahead import Ahead
from clipcache.errors import SourceError
from clipcache.images.folder import Folder
from clipcache.labels import EXCLUDED, SKIPPED, WITHDRAWN
from clipcache.photos import Photos, Readable
from clipcache.review import Doubt
from clipcache.run import Run
from clipcache.web import find_page
from clipcache.web.app import make_app
from clipcache.web.panel import between
from clipcache.web.security import cookie_name, hosts_of
from tests import synthetic
from tests.web.html import Element, Page
from tests.web.pool import NAMES, ROWS, begin

TOKEN = "t" * 43
BASE = "http://127.0.0.1:8000"
WEB = Path(make_app.__code__.co_filename).parent


class Visitor(TestClient):
    """Somebody in front of the pages of a run."""

    def page(self, path: str) -> Page:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return Page(answer.text)

    def rows(self) -> list[int]:
        """The images in hand, the one to look at first."""
        return [int(card["data-row"]) for card in self.page("/deck").with_class("card")]

    def answer(self, **fields: object) -> Page:
        answer = self.post("/answer", data={name: str(value) for name, value in fields.items()})
        assert answer.status_code == 200, answer.text
        return Page(answer.text)


class Office:
    """A run with its desk, and people who visit it."""

    def __init__(self, run: Run, images: Path | Readable, origin: str | None = None) -> None:
        self.run = run
        self.desk = Desk(run)
        source = Folder(images) if isinstance(images, Path) else images
        photos = Photos(source, run.cache.keys())
        hosts = hosts_of("127.0.0.1")
        title = 'my "run" <b>'
        self.app = make_app(self.desk, photos, token=TOKEN, hosts=hosts, title=title, origin=origin)

    def visitor(self, name: str = "Anna") -> Visitor:
        client = Visitor(
            self.app,
            base_url=BASE,
            headers={"Origin": BASE},
            cookies={cookie_name(TOKEN): TOKEN},
            follow_redirects=False,
            raise_server_exceptions=False,
        )
        if name:
            assert client.post("/name", data={"name": name}).status_code == 303
        return client

    def said(self) -> list[tuple[str, int, int, str]]:
        return [(g.annotator, g.row, g.label, g.source) for g in self.run.store.history()]


@pytest.fixture
def office(run: Run, pool: Path) -> Iterator[Office]:
    made = Office(run, pool / "images")
    yield made
    made.desk.close()


@pytest.fixture
def anna(office: Office) -> Visitor:
    return office.visitor()


@pytest.fixture
def pair(pool: Path, tmp_path: Path) -> Iterator[Office]:
    """A run in which two people look at each image."""
    run = begin(pool, tmp_path / "pair", per_image=2)
    made = Office(run, pool / "images")
    yield made
    made.desk.close()
    run.store.close()


def every_page(office: Office) -> dict[str, str]:
    """All pages of a run in which much has happened."""
    anna, ben = office.visitor("Anna"), office.visitor('Ben "<i>')
    for number, row in enumerate(anna.rows()):
        anna.answer(row=row, label=number % 2)
        ben.answer(row=row, label=3 - number % 2)
    for name in ("<script>alert(3)</script>", "' onload='alert(4)"):
        anna.answer(row=anna.rows()[0], name=name)
    anna.answer(row=anna.rows()[0], label=SKIPPED)
    ben.answer(row=office.said()[-1][1], label=SKIPPED)
    paths = ["/", "/deck", "/grid", "/grid/batch", "/disputes", "/aside", "/panel", "/name"]
    paths += ["/doubts", f"/find?like={office.said()[0][1]}", "/find?q=<i>"]
    pages = {path: anna.get(path).text for path in [*paths, "/welcome", "/search?q="]}
    pages["/search?q=<b>"] = anna.get("/search", params={"q": "<b onclick=alert(5)> \"'"}).text
    pages["kept"] = anna.post("/decide", data={"row": office.said()[0][1], "label": "3"}).text
    pages["shut out"] = TestClient(office.app, base_url=BASE).get("/").text
    return pages


@pytest.fixture(scope="module")
def pages(pool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    run = begin(pool, tmp_path_factory.mktemp("busy") / "run", per_image=2)
    office = Office(run, pool / "images")
    made = {path: Page(text) for path, text in every_page(office).items()}
    office.desk.close()
    run.store.close()
    return made


def test_names_and_keys_are_shown_as_they_are_and_do_nothing(pages: dict[str, Page]) -> None:
    """Whatever a class, an image or a person is called, it stays text."""
    known = {"html", "head", "meta", "title", "link", "script", "body", "main", "header", "nav"}
    known |= {"aside", "section", "article", "figure", "figcaption", "div", "span", "p", "a", "b"}
    known |= {"h1", "h2", "ul", "ol", "li", "dl", "dt", "dd", "small", "kbd", "code", "img", "svg"}
    known |= {"rect", "line", "text", "g", "polyline", "circle", "path", "progress", "dialog"}
    known |= {"form", "label", "input", "button"}
    shown = ""
    for path, page in pages.items():
        for element in page.elements:
            assert element.tag in known, f"{path} has a {element.tag}"
            assert not [a for a in element.attributes if a.startswith("on") or a == "style"], path
            if element.tag == "script":
                assert element["src"].startswith("/static/")
                assert not element.text
            if element.tag == "img":
                assert re.fullmatch(r"/images/\d+/(256|1024)\?[0-9a-f]+", element["src"])
        shown += "".join(element.text for element in page.elements if element.parent is None)
    for name in (*NAMES, "<script>alert(3)</script>", "' onload='alert(4)", 'Ben "<i>'):
        assert name in shown
    assert 'my "run" <b>' in shown
    assert '"><b onclick=alert(2)>' in shown


def test_nothing_comes_from_elsewhere(pages: dict[str, Page]) -> None:
    for page in pages.values():
        for element in page.elements:
            for name in ("src", "href", "action", "hx-get", "hx-post", "data-post"):
                value = element[name]
                assert not value or re.match(r"[/#](?!/)", value), value
    for file in WEB.glob("static/*"):
        if "htmx" not in file.name:
            outside = re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S+", file.read_text())
            assert not outside, file.name


def test_every_file_that_a_page_names_is_there_and_none_is_left_over(
    office: Office, pages: dict[str, Page]
) -> None:
    named = {
        element[name].removeprefix("/static/")
        for page in pages.values()
        for element in page.elements
        for name in ("src", "href")
        if element[name].startswith("/static/")
    }
    for file in WEB.glob("static/*.js"):
        named |= set(re.findall(r'from "\./(\S+)"', file.read_text()))
    beside = {file.name for file in WEB.glob("static/*")} - {"htmx-4.0.1.LICENSE.txt"}
    assert named == beside
    visitor = office.visitor("")
    for name in named:
        answer = visitor.get(f"/static/{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-cache", "a new version shows at once"
        known = {"If-None-Match": answer.headers["etag"]}
        assert visitor.get(f"/static/{name}", headers=known).status_code == 304


def test_each_vendored_file_says_its_version_and_has_its_licence() -> None:
    assert 'version="4.0.1"' in (WEB / "static/htmx-4.0.1.min.js").read_text()
    assert "Permission to use" in (WEB / "static/htmx-4.0.1.LICENSE.txt").read_text()


def name_of(element: Element, page: Page) -> str:
    """What a screen reader calls an element."""
    labels = [e.text for e in page.all("label") if e["for"] and e["for"] == element["id"]]
    if element.parent and element.parent.tag == "label":
        labels.append(element.parent.text)
    by = element["aria-labelledby"]
    labels += [e.text for e in page.elements if by and e["id"] == by]
    images = [e["alt"] for e in element.inside if e.tag == "img"]
    return (element["aria-label"] or "".join(labels) or element.text or "".join(images)).strip()


def test_the_basics_that_a_screen_reader_needs(pages: dict[str, Page]) -> None:
    whole = {path: page for path, page in pages.items() if page.all("html")}
    assert len(whole) == 10
    for path, page in whole.items():
        assert page.all("html")[0]["lang"] == "en"
        assert len(page.all("main")) == 1, path
        assert len(page.all("h1")) == 1, path
        assert page.all("title")[0].text.strip(" ·")
        ids = [element["id"] for element in page.elements if element["id"]]
        assert len(ids) == len(set(ids)), path
        for element in page.all("button", "a", "input", "dialog", "nav", "aside", "progress"):
            assert name_of(element, page), f"{path}: a {element.tag} without a name"
        for element in page.all("img"):
            inside_named = element.parent is not None and element.parent["aria-label"]
            assert element["alt"] or inside_named, path
        for element in page.elements:
            for reference in ("aria-labelledby", "aria-controls", "aria-describedby"):
                assert element[reference] in ("", *ids), path
        if page.all("nav"):
            assert [e["id"] for e in page.elements if e["aria-live"] == "polite"] == ["say"]
            assert [e["id"] for e in page.elements if e["role"] == "alert"] == ["banner"]
            assert [a.text for a in page.all("a") if a["aria-current"]]


def test_whoever_has_no_name_is_asked_for_one_and_cannot_answer(office: Office) -> None:
    nobody = office.visitor("")
    for path in ("/", "/deck", "/grid", "/aside", "/disputes", "/panel", "/search?q=x"):
        assert nobody.get(path).headers["location"] == "/name"
    for path in ("/answer", "/undo", "/answers", "/decide", "/aside"):
        assert nobody.post(path, data={"row": "1", "label": "1"}).status_code == 401
    assert nobody.post("/name", data={"name": " \n\t\0 "}).status_code == 400
    assert not office.said()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("  Anna   Müller ", "Anna Müller"), ("李; x=1", "李; x=1"), ("a" * 99, "a" * 60)],
)
def test_a_name_is_kept_as_one_short_line(office: Office, given: str, kept: str) -> None:
    visitor = office.visitor(given)
    assert visitor.page("/").all("body")[0]["data-person"] == kept
    visitor.answer(row=visitor.rows()[0], label=0)
    assert office.said()[0][0] == kept


@pytest.mark.parametrize("origin", [None, "https://label.example.org"])
def test_a_name_is_sent_as_the_token_is(run: Run, pool: Path, origin: str | None) -> None:
    office = Office(run, pool / "images", origin)
    answer = office.visitor("").post("/name", data={"name": "Anna"})
    assert ("; Secure" in answer.headers["set-cookie"]) == (origin is not None)
    office.desk.close()


def test_three_images_are_in_hand_and_the_first_is_to_look_at(anna: Visitor) -> None:
    cards = anna.page("/").with_class("card")
    assert len(cards) == 3
    assert ["hidden" in card.attributes for card in cards] == [False, True, True]
    buttons = [b for b in anna.page("/").with_class("choice") if b["data-label"]][:5]
    assert len({button["data-label"] for button in buttons}) == 5
    for button in buttons:
        assert button["data-name"] == NAMES[int(button["data-label"])]
    assert anna.rows() == anna.rows(), "looking changes nothing"


def test_an_answer_is_on_disk_and_the_next_image_comes(office: Office, anna: Visitor) -> None:
    first, second, third = anna.rows()
    page = anna.answer(row=first, label=2)
    assert office.said() == [("Anna", first, 2, "page")]
    assert [int(c["data-row"]) for c in page.with_class("card")][:2] == [second, third]
    anna.answer(row=second, label=SKIPPED)
    anna.answer(row=third, label=EXCLUDED)
    assert [label for _, _, label, _ in office.said()] == [2, SKIPPED, EXCLUDED]


def test_an_answer_that_arrives_twice_is_one(office: Office, anna: Visitor) -> None:
    row = anna.rows()[0]
    anna.answer(row=row, label=2)
    anna.answer(row=row, label=2)
    assert len(office.said()) == 1


def test_undo_brings_the_image_back_first(office: Office, anna: Visitor) -> None:
    first = anna.rows()[0]
    anna.answer(row=first, label=2)
    page = Page(anna.post("/undo").text)
    assert int(page.with_class("card")[0]["data-row"]) == first
    assert [label for _, _, label, _ in office.said()] == [2, WITHDRAWN]
    assert office.visitor("Ben").post("/undo").status_code == 200
    assert len(office.said()) == 2, "Ben has said nothing to take back"


def test_a_page_that_was_made_for_somebody_else_answers_for_nobody(office: Office) -> None:
    """The name is kept for all tabs of a browser: one of them may have changed it."""
    ben = office.visitor("Ben")
    row = ben.rows()[0]
    data = {"row": str(row), "label": "1", "rows": str(row), "labels": "1"}
    for path in ("/answer", "/answers", "/undo", "/decide", "/aside", "/found"):
        answer = ben.post(path, data=data | {"person": "Anna"})
        assert answer.status_code == 409
        assert "this page is Anna's" in answer.text
        assert "\n" not in answer.text
    assert not office.said()
    item = next(e for e in ben.page(f"/find?like={row}").all("button") if e["hx-vals"])
    assert json.loads(item["hx-vals"])["person"] == "Ben"
    assert ben.post("/answer", data=data | {"person": "Ben"}).status_code == 200


def test_two_people_get_different_images(office: Office) -> None:
    assert not set(office.visitor("Anna").rows()) & set(office.visitor("Ben").rows())


def test_a_class_is_made_by_its_first_answer(office: Office, anna: Visitor) -> None:
    first, second, _ = anna.rows()
    anna.answer(row=first, name="  scarf ")
    anna.answer(row=second, name="SCARF")
    assert office.run.names == (*NAMES, "scarf")
    assert [label for _, _, label, _ in office.said()] == [len(NAMES)] * 2


def found(page: Page) -> tuple[list[str], list[str]]:
    """The classes that a search shows, and the one that it would make."""
    options = [element for element in page.elements if element["role"] == "option"]
    return (
        [option.text for option in options if option["data-label"]],
        [option["data-name"] for option in options if option["data-name"]],
    )


@pytest.mark.parametrize(
    ("typed", "classes", "new"),
    [
        ("", list(NAMES), []),
        ("ha", ["hat"], ["ha"]),
        ("HAT", ["hat"], []),
        (" hat ", ["hat"], []),
        ("<img", [NAMES[3]], ["<img"]),
        ("zebra", [], ["zebra"]),
    ],
)
def test_classes_are_found_by_name(
    anna: Visitor, typed: str, classes: list[str], new: list[str]
) -> None:
    page = Page(anna.get("/search", params={"q": typed}).text)
    assert found(page) == (classes, new)
    assert page.elements[0]["data-typed"] == typed, "so that Enter knows what this answers"


def test_the_grid_holds_each_image_once_under_its_likeliest_class(
    office: Office, anna: Visitor
) -> None:
    page = anna.page("/grid")
    tiles = page.with_class("tile")
    groups = page.with_class("group")
    assert len({tile["data-row"] for tile in tiles}) == len(tiles) == 10
    likeliest = {
        card.row: card.suggestions[0].label for card in office.desk.hand("Anna", len(tiles))
    }
    for tile in tiles:
        group = next(g for g in groups if tile.parent is not None and tile.parent.parent is g)
        assert int(group["data-label"]) == likeliest[int(tile["data-row"])]


def test_a_group_is_confirmed_as_a_whole(office: Office, anna: Visitor) -> None:
    rows = [tile["data-row"] for tile in anna.page("/grid").with_class("tile")][:4]
    answer = anna.post("/answers", data={"rows": ",".join(rows), "labels": "1,1,1,2"})
    assert answer.status_code == 204
    expected = [(int(row), label) for row, label in zip(rows, (1, 1, 1, 2), strict=True)]
    assert [(row, label) for _, row, label, _ in office.said()] == expected
    left = {tile["data-row"] for tile in anna.page("/grid/batch").with_class("tile")}
    assert not left & set(rows)


def test_a_group_is_taken_back_as_a_whole_and_counted(office: Office, anna: Visitor) -> None:
    rows = [tile["data-row"] for tile in anna.page("/grid").with_class("tile")]
    for some in (rows[:1], rows[1:5]):
        anna.post("/answers", data={"rows": ",".join(some), "labels": ",".join("1" * len(some))})
        anna.answer(row=rows[5], label=len(some))
    counts = [anna.post("/undo").headers["Taken-Back"] for _ in range(4)]
    assert counts == ["1", "4", "1", "0"]
    assert office.run.ballots.votes == {}
    assert {tile["data-row"] for tile in anna.page("/grid").with_class("tile")} >= set(rows)


def test_a_tile_that_is_answered_by_itself_gives_the_others_to_nobody(
    office: Office, anna: Visitor
) -> None:
    rows = [int(tile["data-row"]) for tile in anna.page("/grid").with_class("tile")]
    anna.answer(row=rows[0], label=EXCLUDED)
    ben = office.visitor("Ben")
    shown = [int(tile["data-row"]) for tile in ben.page("/grid").with_class("tile")]
    assert not set(rows) & set(shown)
    anna.get("/")  # she goes on one by one
    shown = [int(tile["data-row"]) for tile in ben.page("/grid").with_class("tile")]
    assert len(set(rows[1:]) - set(shown)) == 3


def test_a_disagreement_is_shown_and_decided(pair: Office) -> None:
    anna, ben = pair.visitor("Anna"), pair.visitor("Ben")
    row = anna.rows()[0]
    assert "Labels count when 2 more people have joined in" in anna.get("/").text
    anna.answer(row=row, label=0)
    assert "Labels count when 1 more person has joined in" in anna.get("/").text
    ben.answer(row=row, label=1)
    item = anna.page("/disputes").with_class("item")[0]
    assert "Anna" in item.text
    assert "coat" in item.text
    assert "hat" in item.text
    buttons = [e for e in anna.page("/disputes").all("button") if e["hx-vals"]]
    wanted = next(b for b in buttons if b.text == "hat")
    kept = anna.post("/decide", data=json.loads(wanted["hx-vals"]))
    assert "hat" in kept.text
    assert pair.run.ballots.standing(row) == 1
    assert not anna.page("/disputes").with_class("item")
    assert "joined in" not in anna.get("/").text
    undone = anna.post("/undo")
    assert undone.headers["taken-back"] == "1"
    assert anna.page("/disputes").with_class("item"), "a decision may be taken back, too"


@pytest.mark.parametrize(
    ("lacking", "waiting", "said"),
    [
        (1, 8, "8 images wait for another person:"),
        (2, 1, "1 image waits for 2 more people:"),
        (0, 8, "8 images are still to be answered."),
    ],
)
def test_whoever_has_looked_at_all_is_told_whom_that_waits_for(
    pair: Office, monkeypatch: pytest.MonkeyPatch, lacking: int, waiting: int, said: str
) -> None:
    anna = pair.visitor()
    status = pair.desk.status()._replace(
        lacking=lacking, waiting=waiting, preparing=False, over=None, problem=None
    )
    monkeypatch.setattr(pair.desk, "status", lambda: status)
    monkeypatch.setattr(pair.desk, "hand", lambda *_: [])
    for path in ("/deck", "/grid/batch"):
        (state,) = anna.page(path).with_class("state")
        assert said in state.text
        assert ("You have looked at all images" in state.text) == (lacking > 0)
        assert ("Others have" in state.text) == (lacking == 0)


def test_a_long_list_says_that_there_is_more(
    office: Office, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in anna.rows():
        anna.answer(row=row, label=SKIPPED)
    assert "load the page again" not in anna.get("/aside").text
    part = partial(office.desk.put_aside, 2)
    monkeypatch.setattr(office.desk, "put_aside", part)
    page = anna.page("/aside")
    assert len(page.with_class("item")) == 2
    assert "These are 2 of 3: load the page again when they are done." in anna.get("/aside").text


def test_an_image_put_aside_is_shown_and_settled_by_a_new_class(
    office: Office, anna: Visitor
) -> None:
    row = anna.rows()[0]
    anna.answer(row=row, label=SKIPPED)
    ben = office.visitor("Ben")
    assert [item["data-row"] for item in ben.page("/aside").with_class("item")] == [str(row)]
    assert ben.post("/aside", data={"row": str(row), "name": "glove"}).status_code == 200
    assert not ben.page("/aside").with_class("item")
    assert office.run.names[office.run.ballots.standing(row)] == "glove"


def test_an_image_that_is_found_by_example_is_labelled_there(office: Office, anna: Visitor) -> None:
    row = anna.rows()[0]
    found = [int(item["data-row"]) for item in anna.page(f"/find?like={row}").with_class("item")]
    assert len(found) == 40
    assert row not in found
    own = next(row for row in found if row not in office.run.open_rows())  # nobody was asked
    assert anna.post("/found", data={"row": str(own), "label": "2"}).status_code == 200
    assert office.run.ballots.labels() == {own: 2}
    again = anna.page(f"/find?like={row}").with_class("item")
    assert str(own) not in [item["data-row"] for item in again]


def test_words_that_no_encoder_here_can_read_are_answered_in_one_line(anna: Visitor) -> None:
    (fault,) = anna.page("/find?q=hat").with_class("fault")
    assert "made elsewhere" in fault.text
    assert not anna.page("/find").with_class("fault")
    assert anna.get("/find?like=x").status_code == 400
    (fault,) = anna.page("/find?like=99999").with_class("fault")
    assert "row 99999 is none of the images" in fault.text


def test_a_doubted_label_is_shown_and_decided(office: Office, anna: Visitor) -> None:
    assert "label images first" in anna.get("/doubts").text
    truth = synthetic.columns(ROWS, len(NAMES))["label"]
    rows = [row for row in office.run.pool.tolist() if truth[row] >= 0][:60]
    said = [int(truth[row]) for row in rows]
    said[0] = (said[0] + 1) % len(NAMES)
    office.run.record(rows, said, annotator="Ben", source="test")
    doubts = {item["data-row"]: item for item in anna.page("/doubts").with_class("item")}
    assert "Ben" in doubts[str(rows[0])].text
    answer = anna.post("/decide", data={"row": str(rows[0]), "label": str(truth[rows[0]])})
    assert answer.status_code == 200
    assert office.run.ballots.standing(rows[0]) == truth[rows[0]]
    assert str(rows[0]) not in [
        item["data-row"] for item in anna.page("/doubts").with_class("item")
    ]


def test_doubts_are_looked_for_once_and_nobody_waits_behind_them(
    office: Office, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, done = Event(), Event()
    calls = []

    def review(_run: Run, _top: int) -> list[Doubt]:
        calls.append(1)
        begun.set()
        assert done.wait(60)
        return []

    monkeypatch.setattr(find_page, "review", review)

    async def many() -> None:
        cookie = "; ".join(f"{name}={value}" for name, value in anna.cookies.items())
        transport = httpx.ASGITransport(office.app)
        headers = {"Cookie": cookie}
        async with httpx.AsyncClient(
            transport=transport, base_url=BASE, headers=headers, verify=False
        ) as client:
            asked = [asyncio.create_task(client.get("/doubts")) for _ in range(60)]
            while not begun.is_set():
                await asyncio.sleep(0.01)
            for path in ("/deck", "/find?like=3"):
                assert (await asyncio.wait_for(client.get(path), 30)).status_code == 200
            done.set()
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}

    asyncio.run(many())
    assert len(calls) == 1
    anna.answer(row=anna.rows()[0], label=0)
    anna.get("/doubts")
    assert len(calls) == 2, "there is a new label"


@pytest.mark.parametrize(("side", "size"), [(256, (120, 90)), (1024, (120, 90))])
def test_images_are_made_anew(anna: Visitor, side: int, size: tuple[int, int]) -> None:
    answer = anna.get(f"/images/3/{side}")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, max-age=3600"
    assert Image.open(io.BytesIO(answer.content)).size == size
    assert anna.get(f"/images/3/{side - 1}").status_code == 404


def test_an_image_that_cannot_be_shown_says_why(run: Run, tmp_path: Path) -> None:
    (tmp_path / "005.png").write_text("no image")
    office = Office(run, tmp_path)
    anna = office.visitor()
    assert "not an image" in anna.get("/images/5/256").text
    answer = anna.get("/images/6/256")
    assert (answer.status_code, answer.text) == (404, "file not found")
    assert anna.get("/images/1000/256").status_code == 404
    assert anna.get("/images/1/257").status_code == 404
    office.desk.close()


def test_a_source_that_fails_is_told_beside_the_images(run: Run, pool: Path) -> None:
    """As credentials that expire: the image may be fine, and the next one is not, either."""

    why = "the credentials for s3://photos have expired: renew them"

    class Bucket:
        expired = True

        def read(self, key: str) -> bytes:
            if self.expired:
                raise SourceError(why)
            return (pool / "images" / key).read_bytes()

    bucket = Bucket()
    office = Office(run, bucket)
    anna = office.visitor()
    for _ in range(2):
        answer = anna.get("/images/5/256")
        assert (answer.status_code, answer.text) == (503, why)
    assert [element.text for element in anna.page("/panel").with_class("fault")] == [why]
    bucket.expired = False
    assert anna.get("/images/5/256").status_code == 200
    assert not anna.page("/panel").with_class("fault")
    office.desk.close()


def test_the_panel_counts(office: Office, anna: Visitor) -> None:
    for label in (0, 0, 1, SKIPPED):
        anna.answer(row=anna.rows()[0], label=label)
    page = anna.page("/panel")
    text = " ".join(" ".join(e.text for e in page.elements if e.parent is None).split())
    assert "Labels3 " in text
    assert "Put aside1" in text
    rarest = [item.text.split() for item in page.all("li")]
    assert rarest[-1] == ["coat", "2"]


def test_an_interval_is_that_of_the_images_that_were_measured_on(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of those that are labelled by now."""
    monkeypatch.setattr(Ahead, "_wanted", lambda _self: False)  # no round but ours
    run = begin(pool, tmp_path / "held", held_out=20)
    held = set(run.held_out.tolist())
    asked = sorted(run.propose().tolist(), key=lambda row: row in held)
    labels = [row % 2 for row in asked]
    run.record(asked[:18], labels[:18], annotator="Ben", source="test")  # 8 of those held out
    run.prepare()
    (closed,) = run.store.rounds()
    for more in (18, 30):
        run.record(asked[18:more], labels[18:more], annotator="Ben", source="test")
        office = Office(run, pool / "images")
        page = office.visitor().page("/panel")
        notes = [e.text for e in page.all("small") if e["title"] == "95 % interval"]
        assert notes == [between(share, 8) for share in (closed.top1, closed.top5)]
        office.desk.close()
    run.store.close()


def test_a_label_store_that_fails_keeps_nothing_and_says_so(
    office: Office, anna: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page keeps the answer and tries again, as it does on any answer that is not 200."""
    row = anna.rows()[0]
    office.run.store.close()
    answer = anna.post("/answer", data={"row": str(row), "label": "1"})
    assert answer.status_code == 500
    assert "label store" in answer.text
    assert "\n" not in answer.text


def test_whoever_is_refused_gets_the_headers_as_well(office: Office) -> None:
    stranger = TestClient(office.app, base_url=BASE)
    for host in ("127.0.0.1", "evil.example"):
        answer = stranger.get("/", headers={"Host": host})
        assert answer.status_code in (401, 421)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_fault_of_ours_shows_nothing_of_the_inside(
    anna: Visitor, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_annotator: str, _count: int) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(office.desk, "hand", broken)
    answer = anna.get("/deck")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Content-Security-Policy" in answer.headers
