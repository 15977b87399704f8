"""Who said what, and when: what undo, the hit rate and the pace are read from."""

import time
from datetime import datetime
from itertools import takewhile
from typing import NamedTuple

from clipcache.labels import DECISION, LABEL_STUDIO, WITHDRAWN, Given

GRID = "grid"
"""The source of labels that were confirmed as a group."""


class Last(NamedTuple):
    """The last thing that somebody said."""

    rows: list[int]
    decided: bool
    """Whether it was a decision about what others said."""


class Diary:
    """Hears every entry of the history once, in order."""

    def __init__(self) -> None:
        # By person: rows, and whether they were decided, in the order of saying; each with the
        # first entry of its group.
        self._said: dict[str, dict[tuple[int, bool], int]] = {}
        self._last: Given | None = None
        self._places: dict[tuple[int, str], int] = {}
        # Of answers that hold and were given here: a pull brings many at a time, of any age.
        self._times: dict[tuple[int, str], float] = {}

    def hear(self, given: Given) -> None:
        """Take in one entry; a decision is nobody's answer, but may be taken back like one."""
        said = self._said.setdefault(given.annotator, {})
        if given.source == DECISION:
            self._decided(given, said)
            return
        group = next(reversed(said.values()), given.id)
        together = self._last is not None and _together(self._last, given)
        self._last = given
        self._places.pop((given.row, given.annotator), None)
        self._times.pop((given.row, given.annotator), None)
        said.pop((given.row, False), None)
        if given.label != WITHDRAWN:
            if given.source != LABEL_STUDIO:  # from where the next pull would bring it back
                said[given.row, False] = group if together else given.id
                time_of = datetime.fromisoformat(given.time).timestamp()
                self._times[given.row, given.annotator] = time_of
            if given.place is not None:
                self._places[given.row, given.annotator] = given.place

    def _decided(self, given: Given, said: dict[tuple[int, bool], int]) -> None:
        """Note a decision, in the place of an earlier one, whoever made that."""
        self._last = given
        for others in self._said.values():
            others.pop((given.row, True), None)
        if given.label != WITHDRAWN:
            said[given.row, True] = given.id

    def last(self, annotator: str) -> Last:
        """Return the row that somebody answered last, or all of the group that they confirmed."""
        said = self._said.get(annotator, {})
        group = next(reversed(said.values()), None)
        found = list(takewhile(lambda key: said[key] == group, reversed(said)))[::-1]
        return Last([row for row, _ in found], any(decided for _, decided in found))

    @property
    def people(self) -> int:
        """How many have said something."""
        return len(self._said)

    @property
    def hits(self) -> tuple[int, int]:
        """How often an answer was among the suggestions, and of how many."""
        return sum(place >= 0 for place in self._places.values()), len(self._places)

    def rate(self, window: float, shortest: float = 1.0) -> float | None:
        """Return answers a second in the last `window` seconds; None before there are two.

        They are those that were given here, and hold. They count as spread over `shortest` seconds
        at least.
        """
        now = time.time()
        recent = list(takewhile(lambda then: then >= now - window, reversed(self._times.values())))
        if len(recent) < 2:
            return None
        return len(recent) / max(now - recent[-1], shortest)


def _together(before: Given, given: Given) -> bool:
    """Whether two entries come from one call of the grid: those have the same time."""
    same = (given.annotator, given.time) == (before.annotator, before.time)
    return same and given.source == before.source == GRID
