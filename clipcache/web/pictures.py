"""Images by row, made anew and bounded in size."""

from dataclasses import dataclass

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clipcache.errors import ImageError, SourceError
from clipcache.web.forms import whole
from clipcache.web.site import Site

SIDES = (256, 1024)
"""Longest sides that are served: a tile, and an image to look at."""
AT_ONCE = 4
"""Images that are decoded at once, in threads of their own: nobody's answer waits behind them."""
HOUR = 3600


@dataclass(frozen=True)
class Pictures:
    """The images."""

    site: Site

    def routes(self) -> list[Route]:
        """Return where they are found."""
        limiter = CapacityLimiter(AT_ONCE)

        async def picture(request: Request) -> Response:
            """Return one image, or why it cannot be shown."""
            row, side = (whole(request.path_params[name], name) for name in ("row", "side"))
            if side not in SIDES:
                raise HTTPException(404, f"there is no size {side}")
            try:
                made = await to_thread.run_sync(self.site.photos.jpeg, row, side, limiter=limiter)
            except ImageError as error:
                raise HTTPException(404, str(error)) from error
            except SourceError as error:  # all images, for now; the panel says so, too
                raise HTTPException(503, str(error)) from error
            # Addresses hold what tells runs apart, so that no other run's image is shown.
            kept = {"Cache-Control": f"private, max-age={HOUR}"}
            return Response(made, media_type="image/jpeg", headers=kept)

        return [Route("/images/{row}/{side}", picture)]
