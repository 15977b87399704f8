"""Connections that cannot be held for ever, and not too many of them."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 256
"""Connections at once: a browser opens six. More would use up the files that a process may open."""
PATIENCE = 30.0
"""Seconds from one answer to the end of the next, or from the connection to the first: whoever
sends or reads more slowly is cut off, a browser that has nothing to ask as well."""


class BoundedConnection(H11Protocol):
    """One connection of a browser, as uvicorn serves it, with a bound on number and time."""

    _alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or cut it off where there are too many."""
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > MOST:
            self.transport.abort()
        else:
            self._wait()

    def on_response_complete(self) -> None:
        """Give the next request its time."""
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._alarm is not None:
            self._alarm.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self.loop.call_later(PATIENCE, self.transport.abort)
