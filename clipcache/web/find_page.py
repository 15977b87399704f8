"""The pages on which images are looked for: by words, by example, and where a label is doubted."""

from dataclasses import dataclass
from functools import cached_property

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

FOUND = 40
"""Images at once."""
LONGEST = 200
"""Letters of what is looked for; an encoder takes in some 50 words."""


@dataclass(frozen=True)
class FindPage:
    """The answers to what these pages ask."""

    site: Site

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
                cards = await run_in_threadpool(self._finder.by_words, words, FOUND)
            elif like is not None:
                cards = await run_in_threadpool(self._finder.like, whole(like, "like"), FOUND)
        except ClipcacheError as error:
            fault = str(error)
        return self.site.render(
            "find.html",
            person=person,
            panel=await run_in_threadpool(panel, self.site.desk),
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
            doubts = await run_in_threadpool(review, self.site.desk.run, FOUND)
        except ClipcacheError as error:
            fault = str(error)
        return self.site.render(
            "doubts.html",
            person=person,
            panel=await run_in_threadpool(panel, self.site.desk),
            doubts=doubts,
            names=self.site.desk.names,
            fault=fault,
        )

    @cached_property
    def _finder(self) -> Finder:
        return Finder(self.site.desk.run)
