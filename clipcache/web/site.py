"""What all pages share: the desk, the images, who is asking, and how a page is made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from clipcache.desk import Desk
from clipcache.photos import Photos
from clipcache.web.security import remember
from clipcache.web.token import public_id

HERE = Path(__file__).parent
LONGEST_NAME = 60


class NamelessError(Exception):
    """Somebody asks for a page who has not said who they are."""


@dataclass(frozen=True)
class Site:
    """One run's pages."""

    desk: Desk
    photos: Photos
    token: str
    title: str
    """What the run is called, shown at the top."""
    origin: str | None = None
    """What browsers see it under, as `Gate` has it."""
    pages: Environment = field(init=False)
    measured_on: dict[int, int] = field(default_factory=dict, init=False)
    """How many images a round was measured on, by the last entry of the history that it knew."""

    def __post_init__(self) -> None:
        pages = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,  # whatever the template is called
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        pages.globals.update(title=self.title, run=public_id(self.token), percent=percent)
        object.__setattr__(self, "pages", pages)

    def render(self, template: str, *, code: int = 200, **values: Any) -> HTMLResponse:
        """Return a page, or a part of one; all values are escaped."""
        return HTMLResponse(self.pages.get_template(template).render(values), code)

    def person(self, request: Request) -> str:
        """Return who is asking, as they named themselves; NamelessError where they have not."""
        name = clean_name(unquote(request.cookies.get(self._person_cookie, "")))
        if not name:
            raise NamelessError
        return name

    def author(self, request: Request, form: FormData) -> str:
        """Return who answers; refuse with 409 where the page was made for somebody else.

        The name may have been changed in another tab meanwhile.
        """
        person = self.person(request)
        made_for = form.get("person", person)
        if made_for != person:
            raise HTTPException(
                409,
                f"this page is {made_for}'s, but this browser labels as {person} by now: "
                "change the name back, or load the page again",
            )
        return person

    def remember(self, response: Response, name: str) -> None:
        """Have the browser keep who is asking; everybody with the token may be anybody."""
        remember(response, self._person_cookie, quote(name), self.origin)

    @property
    def _person_cookie(self) -> str:
        return f"clipcache_person_{public_id(self.token)}"


def clean_name(text: str) -> str:
    """Return a name as it is kept: one line of printable text, not longer than LONGEST_NAME."""
    line = " ".join(text.split())
    return "".join(letter for letter in line if letter.isprintable())[:LONGEST_NAME].strip()


def percent(share: float, digits: int = 0) -> str:
    """Return a share in [0, 1] as people read it: "62 %", or "<1 %" rather than nothing."""
    if digits == 0 and 0 < share < 0.005:
        return "<1 %"
    return f"{100 * share:.{digits}f} %"
