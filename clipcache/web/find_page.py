"""The pages on which images are looked for: by words, by example, and where a label is doubted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from clipcache.desk import Card
from clipcache.desk.finder import Finder
from clipcache.errors import ClipcacheError
from clipcache.review import Doubt, review
from clipcache.web.forms import whole
from clipcache.web.panel import panel
from clipcache.web.site import Site

T = TypeVar("T")
FOUND = 40
"""Images at once."""
LONGEST = 200
"""Letters of what is looked for; an encoder takes in some 50 words."""


@dataclass(frozen=True)
class FindPage:
    """The answers to what these pages ask."""

    site: Site
    _found: dict[int, list[Doubt]] = field(default_factory=dict, init=False)
    """What is doubted, by the last entry of the history; one state only."""

    def routes(self) -> list[Route]:
        """Return where they are found."""
        return [Route("/find", self.find), Route("/doubts", self.doubts)]

    async def find(self, request: Request) -> HTMLResponse:
        """Return the images that are nearest to the words `q`, or to the row `like`."""
        person = self.site.person(request)
        words = request.query_params.get("q", "").strip()[:LONGEST]
        like = request.query_params.get("like")
        fault, cards = None, list[Card]()
        try:
            if words:
                cards = await _alone(self._finding, self._finder.by_words, words, FOUND)
            elif like is not None:
                cards = await _alone(self._finding, self._finder.like, whole(like, "like"), FOUND)
        except ClipcacheError as error:
            fault = str(error)
        return self.site.render(
            "find.html",
            person=person,
            panel=await run_in_threadpool(panel, self.site),
            words=words,
            asked=bool(words or like),
            cards=cards,
            fault=fault,
        )

    async def doubts(self, request: Request) -> HTMLResponse:
        """Return the labels that the model doubts most; five heads are fitted for that."""
        person = self.site.person(request)
        fault, doubts = None, list[Doubt]()
        try:
            doubts = await _alone(self._doubting, self._doubts)
        except ClipcacheError as error:
            fault = str(error)
        return self.site.render(
            "doubts.html",
            person=person,
            panel=await run_in_threadpool(panel, self.site),
            doubts=doubts,
            names=self.site.desk.names,
            fault=fault,
        )

    def _doubts(self) -> list[Doubt]:
        """Return the doubted labels, looked for once for each state of the labels."""
        run = self.site.desk.run
        seen = run.ballots.seen
        if seen not in self._found:
            found = review(run, FOUND)
            self._found.clear()
            self._found[seen] = found
        return self._found[seen]

    @cached_property
    def _finding(self) -> CapacityLimiter:
        return CapacityLimiter(1)

    @cached_property
    def _doubting(self) -> CapacityLimiter:
        return CapacityLimiter(1)

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self.site.desk.run)


async def _alone(limiter: CapacityLimiter, work: Callable[..., T], *values: object) -> T:
    """Do what takes long when all of its kind is done: nobody's answer waits behind it."""
    return await to_thread.run_sync(partial(work, *values), limiter=limiter)
