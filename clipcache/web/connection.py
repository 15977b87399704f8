"""Connections that cannot be held for ever, and not too many of them."""

import asyncio

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 256
"""Connections at once: a browser opens six. More would use up the files that a process may open."""
PATIENCE = 30.0
"""Seconds to send a request, from the connection or the last answer on, and as many to read the
answer: whoever is slower is cut off, a browser that has nothing to ask as well. What we need to
find the answer does not count."""


class BoundedConnection(H11Protocol):
    """One connection of a browser, as uvicorn serves it, with a bound on number and time."""

    _alarm: asyncio.TimerHandle | None = None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the app does, and wait for the browser to read it."""

        async def send_in_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._wait()
            await send(message)

        await self.config.loaded_app(scope, receive, send_in_time)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or cut it off where there are too many."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.app = self._answer
        if len(self.connections) > MOST:
            self.transport.abort()
        else:
            self._wait()

    def handle_events(self) -> None:
        """Take in what came, and stop waiting while we find the answer."""
        super().handle_events()
        cycle = self.cycle
        if cycle and not cycle.more_body and not cycle.response_started:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Give the next request its time."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self._alarm = self.loop.call_later(PATIENCE, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
