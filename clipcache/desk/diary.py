"""Who said what, and when: what undo, the hit rate and the pace are read from."""

import time
from bisect import bisect_left
from datetime import datetime
from itertools import takewhile

from clipcache.labels import DECISION, LABEL_STUDIO, WITHDRAWN, Given

GRID = "grid"
"""The source of labels that were confirmed as a group."""


class Diary:
    """Hears every entry of the history once, in order."""

    def __init__(self) -> None:
        # By person: the rows in the order of saying, each with the first entry of its group.
        self._said: dict[str, dict[int, int]] = {}
        self._last: Given | None = None
        self._places: dict[tuple[int, str], int] = {}
        self._times: list[float] = []

    def hear(self, given: Given) -> None:
        """Take in one entry; decisions are nobody's answer."""
        if given.source == DECISION:
            return
        said = self._said.setdefault(given.annotator, {})
        group = next(reversed(said.values()), given.id)
        together = self._last is not None and _together(self._last, given)
        self._last = given
        self._places.pop((given.row, given.annotator), None)
        said.pop(given.row, None)
        if given.label != WITHDRAWN:
            if given.source != LABEL_STUDIO:  # from where the next pull would bring it back
                said[given.row] = group if together else given.id
            if given.place is not None:
                self._places[given.row, given.annotator] = given.place
            self._times.append(datetime.fromisoformat(given.time).timestamp())

    def last(self, annotator: str) -> list[int]:
        """Return the row that somebody answered last, or all of the group that they confirmed."""
        said = self._said.get(annotator, {})
        group = next(reversed(said.values()), None)
        return list(takewhile(lambda row: said[row] == group, reversed(said)))[::-1]

    @property
    def hits(self) -> tuple[int, int]:
        """How often an answer was among the suggestions, and of how many."""
        return sum(place >= 0 for place in self._places.values()), len(self._places)

    def rate(self, window: float, shortest: float = 1.0) -> float | None:
        """Return answers a second in the last `window` seconds; None before there are two.

        They count as spread over `shortest` seconds at least.
        """
        now = time.time()
        recent = self._times[bisect_left(self._times, now - window) :]
        if len(recent) < 2:
            return None
        return len(recent) / max(now - recent[0], shortest)


def _together(before: Given, given: Given) -> bool:
    """Whether two entries come from one call of the grid: those have the same time."""
    same = (given.annotator, given.time) == (before.annotator, before.time)
    return same and given.source == before.source == GRID
