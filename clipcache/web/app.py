"""All pages of a run as one ASGI app."""

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from clipcache.desk import Desk
from clipcache.errors import ClipcacheError
from clipcache.photos import Photos
from clipcache.web.body import BoundedBody
from clipcache.web.find_page import FindPage
from clipcache.web.grid_page import GridPage
from clipcache.web.headers import SafeHeaders
from clipcache.web.label_page import LabelPage
from clipcache.web.panel import panel
from clipcache.web.people import People
from clipcache.web.pictures import Pictures
from clipcache.web.second_look import SecondLook
from clipcache.web.security import Gate
from clipcache.web.site import HERE, NamelessError, Site


def make_app(
    desk: Desk,
    photos: Photos,
    *,
    token: str,
    hosts: Iterable[str],
    title: str,
    origin: str | None = None,
) -> ASGIApp:
    """Return the app: `token` lets in, `hosts` are the names it goes by, `title` is at the top.

    `origin` is what browsers see it under, where that is not one of the `hosts`.
    """
    site = Site(desk, photos, token, title, origin)

    async def side_panel(request: Request) -> HTMLResponse:
        site.person(request)
        return site.render("panel.html", panel=await run_in_threadpool(panel, site))

    parts = (
        LabelPage(site),
        GridPage(site),
        FindPage(site),
        SecondLook(site),
        People(site),
        Pictures(site),
    )
    inner = Starlette(
        routes=[
            *(route for part in parts for route in part.routes()),
            Route("/panel", side_panel),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(BoundedBody)],
        exception_handlers={
            NamelessError: _ask_for_name,
            ClipcacheError: _explain,
            HTTPException: _refuse,
        },
    )

    def shut_out(_request: Request, status: int) -> Response:
        return site.render("shut_out.html", code=status)

    return SafeHeaders(Gate(inner, token, frozenset(hosts), shut_out, origin))


async def _ask_for_name(request: Request, _error: Exception) -> Response:
    """Lead to the page that asks for a name; a change without one is refused."""
    if request.method == "GET":
        return RedirectResponse("/name", 303)
    return PlainTextResponse("say who you are first", 401)


async def _explain(_request: Request, error: Exception) -> Response:
    """Say in one line why something could not be done; the browser keeps the answer."""
    return PlainTextResponse(str(error), 500)


async def _refuse(_request: Request, error: Exception) -> Response:
    """Say in one line why a request is refused."""
    assert isinstance(error, HTTPException)
    return PlainTextResponse(error.detail, error.status_code, headers=error.headers)
