"""How long people wait for the next image while they label, at any size of pool.

    python bench/label_latency.py CACHE [--people 1 --people 8] [--answers 150] [--think 0.6]

Begins a run on CACHE, whose labels are hidden from it, serves its pages on loopback, and lets
scripted people label as a browser does: sign in, read the image's row off the page, think for
`--think` seconds (drawn around it, so that people do not march in step), answer with the right
class, and go on to the next image. Waiting is counted from sending an answer until the page with
the next image has come and, where it was not among those that the browser holds already, until that
image itself is there as a JPEG. Where no image is ready, asking again is part of the wait.

Images are drawn garments of 480 x 640, whatever is in CACHE: a row's image is one of 64.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import click
import httpx
import numpy as np

from clipcache.arrays import Labels
from clipcache.cache.reader import EmbeddingCache
from clipcache.cli.output import print_machine

DRAWN = 64
POLL = 0.1
"""Seconds between two questions for an image, where none is ready; the page asks as often."""


@dataclass(frozen=True)
class Waiting:
    """What so many people met with."""

    people: int
    answers: int
    answers_a_second: float
    p50_ms: float
    p95_ms: float
    worst_ms: float
    empty: int
    """Answers after which no image was ready."""
    rounds: int
    round_s: float
    """A round's fit, scores and choice, on average."""


class Drawn:
    """Images for any key."""

    def __init__(self) -> None:
        from clipcache.tiny.garments import CLASSES
        from clipcache.tiny.render import render

        self._files = []
        for index in range(DRAWN):
            out = BytesIO()
            picture = render(index % len(CLASSES), rng=np.random.default_rng((3, index)), size=480)
            picture.resize((480, 640)).save(out, format="jpeg", quality=90)
            self._files.append(out.getvalue())

    def read(self, key: str) -> bytes:
        """Return one of the drawn files."""
        return self._files[hash(key) % DRAWN]


def serve_pages(cache: Path, folder: Path, seed: int) -> None:
    """Serve a new run until SIGTERM, and print its address."""
    from clipcache.desk import Desk
    from clipcache.people import open_run
    from clipcache.photos import Photos
    from clipcache.web.app import make_app
    from clipcache.web.security import hosts_of
    from clipcache.web.server import address_of, listen, serve
    from clipcache.web.token import read_token

    run = open_run(folder, cache, asks="all", held_out=0, seed=seed)
    desk, token = Desk(run), read_token(folder)
    photos = Photos(Drawn(), run.cache.keys().tolist())
    listening = listen("127.0.0.1", 0)
    app = make_app(desk, photos, token=token, hosts=hosts_of("127.0.0.1"), title="bench")
    serve(app, listening, lambda: print(address_of(listening, token), flush=True))  # noqa: T201
    desk.close()


class Person:
    """A browser with somebody before it."""

    def __init__(self, address: str, name: str, labels: Labels, think: float, seed: int) -> None:
        base, _, token = address.partition("/?token=")
        self._http = httpx.Client(
            base_url=base, headers={"Origin": base}, timeout=60, follow_redirects=True
        )
        self._http.get("/", params={"token": token}).raise_for_status()
        self._http.post("/name", data={"name": name}).raise_for_status()
        self._labels, self._think = labels, think
        self._rng = np.random.default_rng(seed)
        self._loaded: set[str] = set()
        self.waits: list[float] = []
        self.empty = 0

    def work(self, answers: int) -> None:
        """Label so many images."""
        images = self._next(self._http.get("/").text)
        for _ in range(answers):
            for image in images:  # the page loads those behind the first while one looks
                self._load(image)
            time.sleep(self._think * self._rng.uniform(0.5, 1.5))
            row = int(images[0].split("/")[2])
            began = time.perf_counter()
            answer = {"row": str(row), "label": str(self._labels[row])}
            done = self._http.post("/answer", data=answer)
            done.raise_for_status()
            images = self._next(done.text)
            self._load(images[0])
            self.waits.append(time.perf_counter() - began)

    def _next(self, page: str) -> list[str]:
        """Return where the images on a page are, asking until there is one."""
        images = re.findall(r'src="(/images/\d+/1024[^"]*)"', page)
        self.empty += not images
        while not images:
            time.sleep(POLL)
            images = re.findall(r'src="(/images/\d+/1024[^"]*)"', self._http.get("/deck").text)
        return images

    def _load(self, image: str) -> None:
        if image not in self._loaded:
            self._http.get(image).raise_for_status()
            self._loaded.add(image)


def measure(cache: Path, people: int, answers: int, think: float) -> Waiting:
    """Let so many people give so many answers each."""
    from clipcache.run import Run

    opened = EmbeddingCache.open(cache)
    labels = opened.labels()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        command = [sys.executable, __file__, str(cache), "--serve", str(folder)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            team = [Person(address, f"p{i}", labels, think, i) for i in range(people)]
            began = time.perf_counter()
            with ThreadPoolExecutor(people) as threads:
                list(threads.map(lambda person: person.work(answers), team))
            seconds = time.perf_counter() - began
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
        run = Run.open(folder)
        rounds = run.store.rounds()
        assert len(run.ballots.labels()) == people * answers  # nothing was lost, nothing doubled
        run.store.close()
    waits = 1000 * np.array([wait for person in team for wait in person.waits])
    return Waiting(
        people=people,
        answers=len(waits),
        answers_a_second=len(waits) / seconds,
        p50_ms=float(np.percentile(waits, 50)),
        p95_ms=float(np.percentile(waits, 95)),
        worst_ms=float(waits.max()),
        empty=sum(person.empty for person in team),
        rounds=len(rounds),
        round_s=float(
            np.mean([r.fit_seconds + r.score_seconds + r.select_seconds for r in rounds])
        ),
    )


@click.command()
@click.argument("cache", type=click.Path(path_type=Path, exists=True))
@click.option("--people", type=click.IntRange(1), multiple=True, default=(1, 8), show_default=True)
@click.option("--answers", type=click.IntRange(2), default=150, show_default=True, help="Of each.")
@click.option(
    "--think", type=click.FloatRange(0), default=0.6, show_default=True, help="Seconds, on average."
)
@click.option("--serve", type=click.Path(path_type=Path), hidden=True)
@click.option("--json", "as_json", is_flag=True)
def main(
    cache: Path,
    people: tuple[int, ...],
    answers: int,
    think: float,
    serve: Path | None,
    as_json: bool,
) -> None:
    """Measure the wait for the next image."""
    if serve:
        serve_pages(cache, serve, seed=0)
        return
    if not as_json:
        print_machine()
        click.echo(f"{EmbeddingCache.open(cache).n:,} rows, {think:g} s of thought an image")
    for number in people:
        found = measure(cache, number, answers, think)
        if as_json:
            click.echo(json.dumps(asdict(found)))
        else:
            click.echo(
                f"{found.people} people, {found.answers_a_second:.1f} answers/s: next image after "
                f"{found.p50_ms:.0f} ms (median), {found.p95_ms:.0f} ms (95th percentile), "
                f"{found.worst_ms:.0f} ms (worst of {found.answers:,}); none ready {found.empty} "
                f"times; {found.rounds} rounds of {found.round_s:.2f} s"
            )


if __name__ == "__main__":
    main()
