"""Who is labelling: a name that is asked for once."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from clipcache.web.forms import read_form, text
from clipcache.web.site import LONGEST_NAME, NamelessError, Site, clean_name


@dataclass(frozen=True)
class People:
    """The page that asks for a name, and the ones before it."""

    site: Site

    def routes(self) -> list[Route]:
        """Return where they are found."""
        return [
            Route("/welcome", self.welcome),
            Route("/name", self.ask),
            Route("/name", self.keep, methods=["POST"]),
        ]

    async def welcome(self, _request: Request) -> HTMLResponse:
        """Return the page that leads from the printed address to the first one of ours."""
        return self.site.render("welcome.html")

    async def ask(self, request: Request) -> HTMLResponse:
        """Return the page that asks for a name."""
        try:
            name = self.site.person(request)
        except NamelessError:
            name = ""
        return self._page(name, "")

    async def keep(self, request: Request) -> Response:
        """Keep the name and lead on."""
        name = clean_name(text(await read_form(request), "name"))
        if not name:
            return self._page("", "Please type a name, or initials.", 400)
        response = RedirectResponse("/", 303)
        self.site.remember(response, name)
        return response

    def _page(self, name: str, fault: str, status: int = 200) -> HTMLResponse:
        return self.site.render(
            "name.html", code=status, name=name, fault=fault, longest=LONGEST_NAME
        )
