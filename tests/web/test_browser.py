"""People at the pages, in a real browser."""

import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from clipcache.labels import EXCLUDED, SKIPPED, WITHDRAWN, LabelStore
from tests.web.conftest import Server
from tests.web.pool import NAMES

WAIT = 30.0
HARM = NAMES.index("<img src=x onerror=alert(1)>")


class Person:
    """Somebody with a keyboard in front of a browser."""

    def __init__(self, browser: webdriver.Chrome, server: Server, name: str) -> None:
        self.browser = browser
        self.server = server
        self.name = name

    def open(self) -> None:
        self.browser.get(self.server.url)
        self.until(lambda: self.see("#name"))
        self.see("#name")[0].send_keys(self.name, Keys.ENTER)
        self.until(lambda: self.browser.current_url == f"{self.server.base}/")
        self.until(lambda: self.row)

    def go(self, path: str) -> None:
        self.browser.get(self.server.base + path)

    def until(self, holds: Callable[[], object]) -> None:
        WebDriverWait(self.browser, WAIT, 0.02).until(lambda _: holds())

    def type(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def see(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def ask(self, script: str) -> object:
        return self.browser.execute_script(f"return {script}")

    @property
    def row(self) -> int | None:
        """The image in sight, when it is there to be judged."""
        script = """(() => {
          const card = document.querySelector(".card:not([hidden])");
          return card?.querySelector("img").complete ? card.dataset.row : null;
        })()"""
        found = self.ask(script)
        return None if found is None else int(str(found))

    def answer(self, *keys: str) -> int:
        """Press keys that answer the image in sight, wait for the next one and return the row."""
        self.until(lambda: self.row is not None)
        row = self.row
        assert row is not None
        self.type(*keys)
        self.until(lambda: self.row != row)
        return row

    def label_on(self, place: int) -> int:
        """The class on a button of the image in sight."""
        buttons = self.see(".card:not([hidden]) .choice[data-label]")
        return int(buttons[place].get_attribute("data-label") or "")

    def pick(self, *keys: str) -> None:
        """Open the box, type, and press Enter once the classes for all of it are there."""
        self.until(lambda: self.row is not None)
        self.type("o")
        self.until(lambda: self.ask("document.activeElement.id === 'search-text'"))
        self.type(*keys)

    @property
    def state(self) -> str:
        return str(self.ask("document.getElementById('saved').dataset.state"))

    def saved(self) -> None:
        self.until(lambda: self.state == "saved")

    @property
    def given(self) -> list[tuple[int, int]]:
        """What this person said, as it lies on disk."""
        history = self.server.history()
        return [(entry.row, entry.label) for entry in history if entry.annotator == self.name]

    def faults(self) -> list[str]:
        """What the browser complained of, but for a server that was not there."""
        logs = [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]
        return [text for text in logs if not re.search("net::ERR_|Failed to fetch", text)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no chromium with its chromedriver here")
    options = Options()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("--headless=new", "--window-size=1280,800", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # it refuses root, who CI is
    try:
        opened = webdriver.Chrome(options=options, service=Service(driver))
    except WebDriverException as error:
        pytest.skip(f"the browser does not start: {error.msg}")
    yield opened
    opened.quit()


@pytest.fixture(scope="module")
def server(browser: webdriver.Chrome, make_server: Callable[..., Server]) -> Server:
    """One for all, started where there is a browser."""
    return make_server()


@pytest.fixture
def person(
    browser: webdriver.Chrome, server: Server, request: pytest.FixtureRequest
) -> Iterator[Person]:
    """Somebody new at their first image; nothing is ever to complain in their browser."""
    somebody = Person(browser, server, request.node.name.split("[")[0])
    network(somebody)  # a test that failed may have left it down
    # A page that leads nowhere: /welcome goes on to the images, which are then refused one by one.
    browser.get(f"{server.base}/static/icon.svg")
    browser.delete_all_cookies()
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    somebody.open()
    yield somebody
    assert somebody.faults() == []


def test_a_batch_by_keyboard_through_a_server_that_is_killed(person: Person) -> None:
    server = person.server
    expected: list[tuple[int, int]] = []
    for key in ("1", "2", "5"):
        person.until(lambda: person.row is not None)
        label = person.label_on(int(key) - 1)
        expected.append((person.answer(key), label))
    expected.append((person.answer("s"), SKIPPED))
    expected.append((person.answer("x"), EXCLUDED))

    person.pick("onerr")  # a class that would do harm
    expected.append((person.answer(Keys.ENTER), HARM))
    person.pick("scarf <b>")  # a new one
    expected.append((person.answer(Keys.ENTER), len(NAMES)))
    person.saved()
    assert person.given == expected

    back = expected[-1][0]
    person.type("u")
    person.until(lambda: person.row == back)
    assert person.given == [*expected, (back, WITHDRAWN)]
    person.pick("SCARF")
    person.until(lambda: person.ask("document.getElementById('found')?.dataset.typed === 'SCARF'"))
    person.type(Keys.ARROW_DOWN, Keys.ARROW_UP)
    expected += [(back, WITHDRAWN), (person.answer(Keys.ENTER), len(NAMES))]
    person.saved()
    assert person.given == expected

    assert server.end(signal.SIGKILL) < 0
    person.until(lambda: person.row is not None)
    label = person.label_on(0)
    expected.append((person.answer("1"), label))
    person.until(lambda: person.state == "lost")
    assert person.see("#banner")[0].is_displayed()
    assert "1 answer is kept" in person.see("#banner")[0].text
    label = person.label_on(2)
    expected.append((person.answer("3"), label))
    assert "2 not saved" in person.see("#saved")[0].text
    person.type("u")  # cannot be known to have been done, so it is not promised
    person.browser.refresh()  # and a page that is gone takes no answer with it
    server.start()
    person.go("/")
    person.saved()
    assert not person.see("#banner")[0].is_displayed()
    assert person.given == expected

    for _ in range(3):
        person.until(lambda: person.row is not None)
        label = person.label_on(0)
        expected.append((person.answer("1"), label))
    person.saved()
    assert person.given == expected
    store = LabelStore(server.folder / "labels.sqlite")
    assert store.classes() == ["scarf <b>"]
    store.close()


def network(person: Person, *, up: bool = True, latency: int = 0) -> None:
    wire = {"latency": latency, "downloadThroughput": -1, "uploadThroughput": -1}
    person.browser.execute_cdp_cmd("Network.enable", {})
    person.browser.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": not up, **wire})


def answering(person: Person, path: str, text: str, status: int) -> None:
    """Have the browser get this answer from a path; no path, and all are the server's again."""
    script = """
      window.served ??= window.fetch;
      const [path, body, status] = arguments;
      window.fetch = (to, options) => path && String(to.url ?? to).endsWith(path)
        ? Promise.resolve(new Response(body, { status })) : window.served(to, options);
    """
    person.browser.execute_script(script, path, text, status)


def full(person: Person, path: str) -> None:
    """Have a path answer that the disk of the server is full."""
    answering(person, path, "the disk is full", 500)


def well(person: Person) -> None:
    """Have all paths answer again."""
    answering(person, "", "", 200)


def test_a_network_that_is_lost_for_a_while(person: Person) -> None:
    person.until(lambda: person.ask("document.images.length > 2 && document.images[2].complete"))
    network(person, up=False)
    rows = [person.answer("1"), person.answer("s")]
    person.until(lambda: person.state == "lost")
    assert person.given == []
    person.answer("x")
    assert person.see("#deck .state"), "all that was in hand is answered"
    network(person, up=True)
    person.saved()
    person.until(lambda: person.row is not None)
    assert [row for row, _ in person.given][:2] == rows
    assert len(person.given) == 3
    assert person.row not in [row for row, _ in person.given]


def test_a_search_without_a_network_is_said_and_goes_on(person: Person) -> None:
    person.until(lambda: person.row is not None)
    network(person, up=False)
    person.pick("coat")
    person.until(lambda: person.see("#classes .fault"))
    assert "No connection to the server." in person.see("#classes")[0].text
    row = person.row
    person.type(Keys.ENTER)  # waits for the classes
    network(person, up=True)
    person.until(lambda: person.row != row)
    person.saved()
    assert person.given == [(row, NAMES.index("coat"))]


def test_undo_without_a_network_is_said_until_the_next_answer(person: Person) -> None:
    first = person.answer("1")
    person.saved()
    network(person, up=False)
    person.type("u")
    person.until(lambda: person.see("#banner")[0].is_displayed())
    assert "Undo may not have worked. No connection" in person.see("#banner")[0].text
    assert not person.see("#banner-again")[0].is_displayed(), "a second undo is another one"
    network(person, up=True)
    second = person.answer("1")
    person.saved()
    person.until(lambda: not person.see("#banner")[0].is_displayed())
    assert [row for row, _ in person.given] == [first, second]


@pytest.mark.parametrize("path", ["/", "/grid"])
def test_a_page_that_waits_says_that_it_waits_in_vain(person: Person, path: str) -> None:
    state = '<section class="state" id="state"><h1>Others have the last images</h1></section>'
    look = {"/": "/deck", "/grid": "/grid/batch"}[path]
    person.go(path)
    person.until(lambda: person.see("#deck .card, .tile"))
    answering(person, look, state, 200)
    person.browser.execute_script(
        "document.getElementById('deck')?.replaceChildren();"
        "document.getElementById('groups')?.replaceChildren();"
        "window.dispatchEvent(new Event('online'));"  # the page looks for images
    )
    person.until(lambda: person.see("#state"))
    assert not person.see("#banner")[0].is_displayed()
    network(person, up=False)
    well(person)
    person.until(lambda: person.see("#banner")[0].is_displayed())
    assert "No connection to the server." in person.see("#banner")[0].text
    network(person, up=True)
    person.until(lambda: person.see("#deck .card:not([hidden]), .tile"))
    person.until(lambda: not person.see("#banner")[0].is_displayed())
    assert person.given == []
    person.go("/")  # gives back what a grid held, for others


def test_enter_alone_is_no_answer(person: Person) -> None:
    person.pick()
    person.until(lambda: person.see("#classes [role=option]"))
    row = person.row
    person.type(Keys.ENTER)
    person.browser.execute_script("document.getElementById('found').dataset.old = ''")
    person.type("h", Keys.BACKSPACE)
    person.until(
        lambda: person.ask(
            "(({ old, typed }) => old === undefined && typed === '')"
            "(document.getElementById('found').dataset)"
        )
    )
    person.type(Keys.ENTER)
    assert person.see("#search")[0].is_displayed()
    assert not person.see("#classes [aria-selected=true]")
    person.type(Keys.ARROW_UP, Keys.ARROW_DOWN, Keys.ENTER)  # from the last to the first
    person.until(lambda: person.row != row)
    person.saved()
    assert person.given == [(row, 0)]


def test_a_browser_that_keeps_nothing(person: Person) -> None:
    """A full disk, or a private window."""
    person.browser.execute_script(
        "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
    )
    network(person, up=False)
    rows = [person.answer("1"), person.answer("s")]
    person.until(lambda: person.state == "lost")
    assert "2 not saved" in person.see("#saved")[0].text
    network(person, up=True)
    person.saved()
    assert [row for row, _ in person.given] == rows


def test_two_tabs_after_the_server_was_away(person: Person) -> None:
    """One of them sends what both have said; the other sees that it arrived."""
    first = person.browser.current_window_handle
    server = person.server
    person.browser.switch_to.new_window("tab")
    second = person.browser.current_window_handle
    try:
        person.go("/grid")
        person.until(lambda: person.see(".tile"))
        shown = {tile.get_attribute("data-row") for tile in person.see(".tile")}
        server.end(signal.SIGKILL)
        for number in range(len(person.see(".group"))):
            person.type(str(number + 1))
        person.until(lambda: person.state == "lost")
        person.browser.switch_to.window(first)
        person.until(lambda: person.row is not None)
        answered = person.answer("s")
        person.until(lambda: person.state == "lost")
        server.start()
        person.saved()
        person.until(lambda: person.row is not None)
        person.browser.switch_to.window(second)
        person.saved()
        person.until(lambda: person.see(".tile"))  # the next batch
        assert {row for row, _ in person.given} == {int(row or "") for row in shown}
        assert (answered, SKIPPED) in person.given
    finally:
        person.browser.switch_to.window(second)
        person.browser.execute_script("window.onbeforeunload = null")
        person.browser.close()
        person.browser.switch_to.window(first)


def test_what_another_tab_has_sent_is_called_saved(person: Person) -> None:
    first = person.browser.current_window_handle
    full(person, "/answer")
    answered = person.answer("s")
    person.until(lambda: person.state == "lost")
    person.browser.switch_to.new_window("tab")
    try:
        person.go("/aside")
        person.saved()
        assert person.given == [(answered, SKIPPED)]
    finally:
        person.browser.close()
        person.browser.switch_to.window(first)
    person.until(lambda: person.see(".card:not([hidden]) [data-last]")[0].text.endswith(" · saved"))
    person.saved()


def test_a_name_that_is_changed_in_another_tab(person: Person) -> None:
    """What is said on a page is kept under the name that the page was made for, or not at all."""
    change = "await fetch('/name', { method: 'POST', body: new URLSearchParams({ name: %r }) });"
    done = "(async () => { %s })().then(arguments[0])"
    person.browser.execute_async_script(done % (change % "Carl"))
    row = person.answer("1")
    person.until(lambda: f"this page is {person.name}'s" in person.see("#banner")[0].text)
    assert not person.see("#banner-drop")[0].is_displayed()
    assert row not in [entry.row for entry in person.server.history()]
    person.browser.execute_async_script(done % (change % person.name))
    person.saved()
    assert [row for row, _ in person.given] == [row]
    person.browser.get_log("browser")  # type: ignore[no-untyped-call]


def test_what_is_not_saved_at_a_second_look_is_said_until_it_is(person: Person) -> None:
    person.go(f"/find?like={person.row}")
    person.until(lambda: person.see(".item"))
    person.server.end(signal.SIGKILL)
    person.see(".item .settle button")[0].click()
    person.until(lambda: person.see("#banner")[0].is_displayed())
    assert "not saved" in person.see("#banner")[0].text
    assert not person.see("#banner-again")[0].is_displayed(), "it would send nothing"
    person.server.start()
    person.see(".item .settle button")[0].click()
    person.until(lambda: person.see(".kept"))
    person.until(lambda: not person.see("#banner")[0].is_displayed())
    assert len(person.given) == 1


def test_another_class_that_is_not_saved_is_said_as_well(person: Person) -> None:
    person.go(f"/find?like={person.row}")
    person.until(lambda: person.see(".item"))
    full(person, "/found")
    for saves in (False, True):
        person.see(".item [data-do=other]")[0].click()
        person.until(lambda: person.ask("document.activeElement.id === 'search-text'"))
        person.type("coat", Keys.ENTER)
        if not saves:
            person.until(lambda: person.see("#banner")[0].is_displayed())
            assert "not saved: the disk is full" in person.see("#banner")[0].text
            well(person)
    person.until(lambda: person.see(".kept"))
    person.until(lambda: not person.see("#banner")[0].is_displayed())
    assert [label for _, label in person.given] == [NAMES.index("coat")]


def test_an_answer_that_is_refused_is_shown_and_can_be_dropped(person: Person) -> None:
    """It stays until somebody says so, and those behind it are kept as well."""
    entry = {"id": "1", "path": "/answer", "rows": [9999], "fields": {"row": 9999, "label": 0}}
    person.browser.execute_script(
        "const { run, person } = document.body.dataset;"
        "localStorage.setItem(`clipcache ${run} ${person}`, arguments[0])",
        json.dumps([entry]),
    )
    person.go("/")
    person.until(lambda: "row 9999" in person.see("#banner")[0].text)
    answered = person.answer("1")
    assert person.given == []
    person.until(lambda: "2 answers are kept" in person.see("#banner")[0].text)
    person.see("#banner-drop")[0].click()
    person.saved()
    assert [row for row, _ in person.given] == [answered]
    person.browser.get_log("browser")  # type: ignore[no-untyped-call]


def drop(person: Person) -> None:
    """Give up the answer that is refused."""
    person.until(lambda: person.see("#banner-drop")[0].is_displayed())
    assert "the disk is full" in person.see("#banner")[0].text
    person.see("#banner-drop")[0].click()
    person.saved()


def test_an_answer_that_is_dropped_is_not_called_saved(person: Person) -> None:
    def last() -> str:
        return person.see(".card:not([hidden]) [data-last]")[0].text

    full(person, "/answer")
    person.answer("1")
    drop(person)
    assert last() == "Last: dropped, not saved"
    well(person)
    row = person.answer("1")
    person.until(lambda: last().endswith(" · saved"))
    assert [row for row, _ in person.given] == [row]


def test_a_group_that_is_dropped_is_open_again(person: Person) -> None:
    person.go("/grid")
    person.until(lambda: person.see(".tile"))
    first = person.see(".group")[0]
    count = first.find_element(By.CSS_SELECTOR, "[data-count]")
    rows = [
        int(t.get_attribute("data-row") or "") for t in first.find_elements(By.CLASS_NAME, "tile")
    ]
    full(person, "/answers")
    person.type("1")
    drop(person)
    assert "sent" not in (first.get_attribute("class") or "").split()
    assert count.text == str(len(rows))
    assert person.given == []
    well(person)
    person.type("1")
    person.until(lambda: count.text == f"{len(rows)} saved")
    assert [row for row, _ in person.given] == rows
    person.go("/")  # gives the others back


def test_a_grid_by_keyboard(person: Person) -> None:
    person.go("/grid")
    person.until(lambda: person.see(".tile"))
    groups = {
        int(group.get_attribute("data-label") or ""): [
            int(tile.get_attribute("data-row") or "")
            for tile in group.find_elements(By.CSS_SELECTOR, ".tile")
        ]
        for group in person.see(".group")
    }
    (first, rows), (second, others), *_ = groups.items()
    assert person.ask("document.activeElement.dataset.row") == str(rows[0])
    # Firefox clicks when Space comes up, whatever was done when it went down.
    down = "new KeyboardEvent('keydown', { key: ' ', bubbles: true, cancelable: true })"
    assert person.ask(f"document.activeElement.dispatchEvent({down})"), "left to the browser"
    assert not person.see("[aria-pressed=false]")
    person.type(Keys.SPACE)  # the first image is out
    assert len(person.see("[aria-pressed=false]")) == 1
    ActionChains(person.browser).key_down(Keys.SHIFT).send_keys("2").key_up(Keys.SHIFT).perform()
    assert person.ask("document.activeElement.closest('.group').dataset.label") == str(second)
    person.type("1")
    person.type("2")
    person.saved()
    expected = [(row, first) for row in rows[1:]] + [(row, second) for row in [*others, rows[0]]]
    assert person.given == expected
    assert not person.see(f".group:not(.sent) [data-row='{rows[0]}']")


def test_undo_in_a_grid_leaves_the_other_groups_as_they_are(person: Person) -> None:
    person.go("/grid")
    person.until(lambda: len(person.see(".group")) > 2)
    script = """JSON.stringify([...document.querySelectorAll(".group")].map((group) => [
      [group.dataset.label, group.className, group.querySelector("kbd").textContent],
      [...group.querySelectorAll(".tile")].map((tile) => [tile.dataset.row, tile.ariaPressed])]))"""

    def groups() -> list[tuple[list[str], list[list[str]]]]:
        return [(head, tiles) for head, tiles in json.loads(str(person.ask(script)))]

    def same() -> bool:
        """Whether all is as before; what is new comes behind it."""
        now = groups()[: len(before)]
        return before == [
            (head, tiles[: len(old)]) for (head, tiles), (_, old) in zip(now, before, strict=True)
        ]

    first, second, third = person.see(".group")[:3]
    second.find_elements(By.CSS_SELECTOR, ".tile")[0].click()
    person.until(lambda: person.see("[aria-pressed=false]"))
    tile = third.find_elements(By.CSS_SELECTOR, ".tile")[0]
    ActionChains(person.browser).drag_and_drop(tile, first).perform()
    moved = tile.get_attribute("data-row")
    person.until(lambda: first.find_elements(By.CSS_SELECTOR, f"[data-row='{moved}']"))
    before = groups()
    sent = len(first.find_elements(By.CSS_SELECTOR, ".tile"))
    person.type("1")
    person.saved()
    assert not same()
    network(person, latency=700)
    person.type("u", "2", Keys.ENTER)  # until it is taken back, nothing new is answered
    person.until(same)
    network(person)
    said = f"{sent} answers taken back." if sent > 1 else "Taken back."
    person.until(lambda: person.see("#say")[0].get_attribute("textContent") == said)
    person.saved()
    assert [label for _, label in person.given[sent:]] == [WITHDRAWN] * sent


def test_a_grid_by_mouse(person: Person) -> None:
    def enough() -> bool:
        """Whether one is left in the first group when one is moved and one is out."""
        person.go("/grid")
        return len(person.see(".group:first-child .tile")) > 2

    person.until(enough)
    first, second = person.see(".group")[:2]
    tiles = first.find_elements(By.CSS_SELECTOR, ".tile")
    moved = int(tiles[0].get_attribute("data-row") or "")
    out = int(tiles[1].get_attribute("data-row") or "")
    ActionChains(person.browser).drag_and_drop(tiles[0], second).perform()
    person.until(lambda: second.find_elements(By.CSS_SELECTOR, f"[data-row='{moved}']"))
    tiles[1].click()
    into = int(second.get_attribute("data-label") or "")
    for button in [b for b in person.see(".confirm") if b.is_displayed()]:
        button.click()
    person.saved()
    person.until(lambda: not person.see(".group.sent") or person.see("#rest"))  # the next batch
    assert not person.see(f".tile[data-row='{out}']")
    labels = dict(person.given)
    assert labels[moved] == into
    assert out not in labels
    person.go("/")
    person.until(lambda: person.row is not None)
    hand = [card.get_attribute("data-row") for card in person.see(".card")]
    assert str(out) in hand, "what was taken out comes back one by one"


def test_the_address_works_from_a_link_on_another_site(person: Person) -> None:
    """A Strict cookie is not sent on a redirect that began on another site."""
    link = f'<a href="{person.server.url}">label</a>'.encode()

    class Mail(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(link)

        def log_message(self, *_args: object) -> None:
            """Say nothing."""

    person.browser.delete_all_cookies()
    with HTTPServer(("127.0.0.1", 0), Mail) as mail:
        threading.Thread(target=mail.serve_forever, daemon=True).start()
        person.browser.get(f"http://localhost:{mail.server_port}/")
        person.see("a")[0].click()
        person.until(lambda: person.browser.current_url == f"{person.server.base}/name")
        mail.shutdown()
    person.browser.get_log("browser")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("width", [390, 1280])
def test_everything_fits_into_the_window(person: Person, width: int) -> None:
    """Nothing to scroll sideways, and on a phone all answers are in reach at once."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 400}
    person.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for path in ("/", "/grid", "/find", "/doubts", "/disputes", "/aside", "/name"):
            person.go(path)
            assert person.ask("document.documentElement.scrollWidth <= innerWidth"), path
        person.go("/")
        person.until(lambda: person.row is not None)
        script = """[...document.querySelectorAll(".card:not([hidden]) button")]
          .map((button) => button.getBoundingClientRect())
          .map(({ top, bottom, height }) => [top, bottom, height])"""
        boxes = json.loads(str(person.ask(f"JSON.stringify({script})")))
        assert len(boxes) == 9
        assert all(top >= 0 and bottom <= 844 for top, bottom, _ in boxes)
        assert width > 400 or all(height >= 44 for _, _, height in boxes)
    finally:
        person.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
