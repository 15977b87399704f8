"""Who holds which images, so that two people never look at one that a single person is to label."""

import time
from collections.abc import Callable

from clipcache.desk.suggestions import Card

IDLE = 15 * 60.0
"""Seconds after which the images of somebody who does nothing go to others. Their answers still
count when they come back."""


class Hands:
    """The images that each person holds, in the order of being dealt."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cards: dict[str, dict[int, Card]] = {}
        self._seen: dict[str, float] = {}
        self._holders: dict[int, int] = {}

    def of(self, person: str) -> dict[int, Card]:
        """Return the images that somebody holds, as row -> card; they are no longer idle."""
        self._seen[person] = self._clock()
        return self._cards.setdefault(person, {})

    def people(self) -> list[str]:
        """Return everybody who is not idle."""
        self.free_idle()
        return list(self._seen)

    def empty(self) -> bool:
        """Whether somebody who is not idle holds nothing."""
        return any(not self._cards.get(person) for person in self.people())

    def holders(self, row: int) -> int:
        """Return how many people hold an image."""
        return self._holders.get(row, 0)

    def deal(self, person: str, card: Card, *, first: bool = False) -> None:
        """Give somebody an image that they do not hold."""
        hand = self.of(person)
        self._holders[card.row] = self.holders(card.row) + 1
        rest = dict(hand)
        if first:
            hand.clear()
        hand[card.row] = card
        if first:
            hand.update(rest)

    def take(self, person: str, row: int) -> Card | None:
        """Take an image out of a hand; None where it was not in it."""
        card = self.of(person).pop(row, None)
        if card is not None:
            self._holders[row] -= 1
            if not self._holders[row]:
                del self._holders[row]
        return card

    def free_idle(self) -> None:
        """Take all images of people who have done nothing for long."""
        late = self._clock() - IDLE
        for person in [name for name, seen in self._seen.items() if seen < late]:
            for row in list(self._cards.pop(person, {})):
                self._holders[row] -= 1
                if not self._holders[row]:
                    del self._holders[row]
            del self._seen[person]
