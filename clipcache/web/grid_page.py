"""The grid: a batch of images grouped by predicted class, to be confirmed group by group."""

from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from clipcache.web.forms import numbers, read_form
from clipcache.web.panel import panel
from clipcache.web.site import Site

TILES = 60
"""Images at once: two screens at most."""


@dataclass(frozen=True)
class GridPage:
    """The answers to what the grid asks."""

    site: Site

    def routes(self) -> list[Route]:
        """Return where they are found."""
        return [
            Route("/grid", self.page),
            Route("/grid/batch", self.batch),
            Route("/answers", self.answers, methods=["POST"]),
        ]

    async def page(self, request: Request) -> HTMLResponse:
        """Return the page with a batch on it."""
        person = self.site.person(request)
        values = await run_in_threadpool(self._batch, person)
        values["panel"] = await run_in_threadpool(panel, self.site)
        return self.site.render("grid.html", person=person, **values)

    async def batch(self, request: Request) -> HTMLResponse:
        """Return the groups alone."""
        values = await run_in_threadpool(self._batch, self.site.person(request))
        return self.site.render("groups.html", **values)

    async def answers(self, request: Request) -> Response:
        """Keep many answers, all or none."""
        form = await read_form(request)
        person = self.site.author(request, form)
        rows, labels = numbers(form, "rows"), numbers(form, "labels")
        if len(rows) != len(labels) or len(set(rows)) != len(rows):
            raise HTTPException(400, "expected one label for each row, and each row once")
        await run_in_threadpool(self.site.desk.answer_many, person, rows, labels)
        return Response(status_code=204)

    def _batch(self, person: str) -> dict[str, Any]:
        groups = self.site.desk.grid(person, TILES)
        return {"groups": groups, "status": None if groups else self.site.desk.status()}
