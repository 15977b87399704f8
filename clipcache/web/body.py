"""A bound on what a request may carry, counted while it arrives."""

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 64 << 10
"""Bytes of a body: a batch of 60 answers has less than 1,000."""


class _TooLargeError(Exception):
    """More bytes came than may."""


class BoundedBody:
    """An ASGI app around another one that refuses bodies of more than LARGEST bytes with 413.

    What a request says of its length is believed only where it says too much, for a chunked one
    says nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on while it is small; refuse it before anything is done with it."""
        got = 0

        async def receive_bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > LARGEST:
                raise _TooLargeError
            return message

        try:
            if _said_length(scope) > LARGEST:
                raise _TooLargeError
            await self.app(scope, receive_bounded, send)
        except _TooLargeError:
            text = f"more than {LARGEST:,} bytes: send less"
            # Closed, for what is still to come is not read.
            refusal = PlainTextResponse(text, 413, headers={"Connection": "close"})
            await refusal(scope, receive, send)


def _said_length(scope: Scope) -> int:
    """Return the Content-Length of a request, 0 where it has none."""
    said = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(said[0]) if said else 0  # a number, else the server had refused it
