"""Pages for images that need a second look: people differ on them, or put them aside."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from clipcache.web.forms import number, read_form, text
from clipcache.web.panel import panel
from clipcache.web.site import Site, clean_name


@dataclass(frozen=True)
class SecondLook:
    """The answers to what these pages ask."""

    site: Site

    def routes(self) -> list[Route]:
        """Return where they are found."""
        return [
            Route("/disputes", self.disputes),
            Route("/decide", self.decide, methods=["POST"]),
            Route("/aside", self.aside),
            Route("/aside", self.settle, methods=["POST"]),
            Route("/found", self.settle, methods=["POST"]),
        ]

    async def disputes(self, request: Request) -> HTMLResponse:
        """Return the images on which people differ, with what each of them said."""
        person = self.site.person(request)
        disputes = await run_in_threadpool(self.site.desk.disputes)
        shown = await run_in_threadpool(panel, self.site)
        return self.site.render(
            "disputes.html",
            person=person,
            panel=shown,
            disputes=disputes,
            names=self.site.desk.names,
        )

    async def decide(self, request: Request) -> HTMLResponse:
        """Keep a decision, and return what stands in the place of the question."""
        return await self._keep(request, decision=True)

    async def aside(self, request: Request) -> HTMLResponse:
        """Return the images that were put aside."""
        person = self.site.person(request)
        cards = await run_in_threadpool(self.site.desk.put_aside)
        shown = await run_in_threadpool(panel, self.site)
        return self.site.render("aside.html", person=person, panel=shown, cards=cards)

    async def settle(self, request: Request) -> HTMLResponse:
        """Keep an answer to an image that was put aside, or looked for."""
        return await self._keep(request, decision=False)

    async def _keep(self, request: Request, *, decision: bool) -> HTMLResponse:
        form = await read_form(request)
        person = self.site.author(request, form)
        row = number(form, "row")
        name = clean_name(text(form, "name")) if "name" in form else None
        desk = self.site.desk
        if name:
            label = await run_in_threadpool(desk.add_class, person, name)
        else:
            label = number(form, "label")
        await run_in_threadpool(desk.decide if decision else desk.answer, person, row, label)
        return self.site.render("kept.html", row=row, label=label, names=desk.names)
