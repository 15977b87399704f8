"""The main page: one image, its five likeliest classes, and what was answered."""

from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from clipcache.web.forms import number, read_form, text
from clipcache.web.panel import panel
from clipcache.web.site import Site, clean_name

HELD = 3
"""Images that a browser has at once: one to look at, the next ones loading behind it."""
SHOWN_CLASSES = 60
"""Classes in the list of a search; whoever wants another types more of its name."""


@dataclass(frozen=True)
class LabelPage:
    """The answers to what the main page asks."""

    site: Site

    def routes(self) -> list[Route]:
        """Return where they are found."""
        return [
            Route("/", self.page),
            Route("/deck", self.deck),
            Route("/answer", self.answer, methods=["POST"]),
            Route("/undo", self.undo, methods=["POST"]),
            Route("/search", self.search),
        ]

    async def page(self, request: Request) -> HTMLResponse:
        """Return the page with the first images on it; the rest of a grid is given back."""
        person = self.site.person(request)
        await run_in_threadpool(self.site.desk.keep, person, HELD)
        values = await run_in_threadpool(self._hand, person)
        values["panel"] = await run_in_threadpool(panel, self.site)
        return self.site.render("label.html", person=person, **values)

    async def deck(self, request: Request) -> HTMLResponse:
        """Return the images that a person holds."""
        return await self._deck(self.site.person(request))

    async def answer(self, request: Request) -> HTMLResponse:
        """Keep an answer, then return the images that the person holds now.

        A class may be given by `name` in the place of its number; it is made where it is new.
        """
        form = await read_form(request)
        person = self.site.author(request, form)
        row = number(form, "row")
        name = clean_name(text(form, "name")) if "name" in form else None
        label = None if name else number(form, "label")
        await run_in_threadpool(self._answer, person, row, label, name)
        return await self._deck(person)

    async def undo(self, request: Request) -> HTMLResponse:
        """Take the person's last answer back, then return the images that the person holds now.

        A group of the grid is taken back as a whole; the header Taken-Back says how many it were.
        """
        person = self.site.author(request, await read_form(request))
        rows = await run_in_threadpool(self.site.desk.undo, person)
        answer = await self._deck(person)
        answer.headers["Taken-Back"] = str(len(rows))
        return answer

    async def search(self, request: Request) -> Response:
        """Return the classes whose names are like what was typed."""
        self.site.person(request)
        typed = clean_name(request.query_params.get("q", ""))
        found = await run_in_threadpool(self.site.desk.search, typed, SHOWN_CLASSES)
        known = typed.casefold() in (name.casefold() for _, name in found)
        return self.site.render(
            "search.html",
            typed=request.query_params.get("q", ""),
            found=found,
            more=len(found) == SHOWN_CLASSES,
            new=typed if typed and not known else None,
        )

    def _answer(self, person: str, row: int, label: int | None, name: str | None) -> None:
        desk = self.site.desk
        if label is None:
            label = desk.add_class(person, name or "")
        desk.answer(person, row, label)

    async def _deck(self, person: str) -> HTMLResponse:
        values = await run_in_threadpool(self._hand, person)
        return self.site.render("deck.html", **values)

    def _hand(self, person: str) -> dict[str, Any]:
        """Return the images that a person holds, and how things stand where there are none."""
        cards = self.site.desk.hand(person, HELD)
        return {"cards": cards, "status": None if cards else self.site.desk.status()}
