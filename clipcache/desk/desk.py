"""Hands images to people, keeps what they say, and has the next ones ready."""

from collections import Counter
from collections.abc import Sequence
from threading import RLock
from typing import NamedTuple

from clipcache.agreement import Agreement, agreement
from clipcache.ballots import OPEN, Ballots
from clipcache.desk.ahead import Ahead
from clipcache.desk.class_search import search_classes
from clipcache.desk.diary import GRID, Diary
from clipcache.desk.hands import Hands
from clipcache.desk.status import ClassCount, Status
from clipcache.desk.suggestions import Card, Suggester
from clipcache.errors import RunError
from clipcache.labels import DECISION, EXCLUDED, SKIPPED, WITHDRAWN
from clipcache.run import Run

RECENT = 600.0
"""Seconds over which the rate of labels is measured."""
SHORTEST = 60.0
"""Seconds that answers are spread over at least: two in one second are no 7,200 an hour."""
USUAL = 0.5
"""Answers of a person in a second, before there are any."""
PACE = 60.0
"""Seconds over which is measured how many images must be ready."""


class Group(NamedTuple):
    """Images that the head takes for the same class."""

    label: int
    name: str
    cards: list[Card]
    """The surest first."""


class Dispute(NamedTuple):
    """An image on which people differ."""

    card: Card
    opinions: dict[str, int]
    """Annotator -> class, or EXCLUDED."""

    def offers(self, names: Sequence[str]) -> list[tuple[int, str]]:
        """Return label and name of each class that somebody said, in the order of saying."""
        return [(k, names[k]) for k in dict.fromkeys(self.opinions.values()) if k >= 0]


class Desk:
    """Any thread may call it. What a call has returned from is on disk."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._lock = RLock()
        self._hands = Hands()
        self._suggester = Suggester(run)
        # Its own count of the votes: the thread that prepares rounds counts in that of the run.
        self._ballots = Ballots(run.config.per_image)
        self._asked: set[int] = set()
        self._batches = 0
        self._queue: dict[int, None] = {}
        self._standing: dict[int, int] = {}
        self._diary = Diary()
        self._given = dict(
            zip(run.given.tolist(), run.data.labels[run.given].tolist(), strict=True)
        )
        self._known = Counter(self._given.values())
        self._measured = set(run.held_out.tolist())
        self._refresh()
        self._ahead = Ahead(run, self._left, self._speed, self._starved)

    def close(self) -> None:
        """End the work in the background, and wait for it."""
        self._ahead.close()

    @property
    def names(self) -> tuple[str, ...]:
        """All classes."""
        return self.run.names

    def hand(self, annotator: str, count: int = 1) -> list[Card]:
        """Return the first `count` images that somebody holds, dealing more where they hold fewer.

        They stay theirs until they are answered, or given back by `keep`. None where nothing is
        left to look at, or the next round is not ready.
        """
        with self._lock:
            self._refresh()
            self._hands.free_idle()
            self._drop_settled(annotator)
            hand = self._hands.of(annotator)
            free = (row for row in self._queue if row not in hand and self._wants(row, annotator))
            rows = [row for row, _ in zip(free, range(count - len(hand)), strict=False)]
            for card in self._suggester.cards(rows):
                self._hands.deal(annotator, card)
            self._ahead.look()
            return list(hand.values())[:count]

    def keep(self, annotator: str, count: int) -> None:
        """Leave somebody the first `count` images that they hold; the others may have the rest."""
        with self._lock:
            for row in list(self._hands.of(annotator))[count:]:
                self._hands.take(annotator, row)

    def grid(self, annotator: str, count: int = 60) -> list[Group]:
        """Return up to `count` images for somebody to hold, those of one likeliest class together.

        The largest group comes first. Without predictions all are in one group without a class,
        whose label is -1.
        """
        groups: dict[int, list[Card]] = {}
        for card in self.hand(annotator, count):
            best = card.suggestions[0] if card.suggestions else None
            known = best is not None and best.probability is not None
            groups.setdefault(best.label if best and known else -1, []).append(card)
        for cards in groups.values():
            cards.sort(key=lambda card: (-_sure(card), card.row))
        names = self.names
        found = [Group(k, names[k] if k >= 0 else "", cards) for k, cards in groups.items()]
        return sorted(found, key=lambda group: (-len(group.cards), group.label))

    def answer(self, annotator: str, row: int, label: int, *, source: str = "page") -> None:
        """Keep what somebody says about an image: a class, SKIPPED or EXCLUDED.

        The same answer again makes no difference. Raises RunError for an image that is not to be
        labelled, and for a class that is not there.
        """
        self.answer_many(annotator, [row], [label], source=source)

    def answer_many(
        self, annotator: str, rows: Sequence[int], labels: Sequence[int], *, source: str = GRID
    ) -> None:
        """Keep what somebody says about several images, as `answer`; all of it or nothing."""
        _check(labels)
        with self._lock:
            self._refresh()
            new = {
                row: label
                for row, label in zip(rows, labels, strict=True)
                if self._votes(row).get(annotator) != label
            }
            hand = self._hands.of(annotator)
            self.run.record(
                list(new),
                list(new.values()),
                annotator=annotator,
                source=source,
                places=[
                    hand[row].place(label) if row in hand else None for row, label in new.items()
                ],
            )
            for row in rows:
                self._hands.take(annotator, row)
            self._refresh()
        self._ahead.look()

    def undo(self, annotator: str) -> list[int]:
        """Withdraw the last thing that somebody said and return its rows; none without one.

        That is one image, a group that was confirmed as a whole, or a decision. Images that need an
        answer again are the next that this person sees.
        """
        with self._lock:
            self._refresh()
            rows, decided = self._diary.last(annotator)
            source = DECISION if decided else "undo"
            self.run.record(rows, [WITHDRAWN] * len(rows), annotator=annotator, source=source)
            self._refresh()
            if decided:
                return rows
            hand = self._hands.of(annotator)
            for card in reversed(self._suggester.cards([row for row in rows if row not in hand])):
                self._hands.deal(annotator, card, first=True)
            return rows

    def add_class(self, annotator: str, name: str) -> int:
        """Return the index of a class, which is made where it is new; RunError without a name."""
        return self.run.add_class(name, annotator=annotator)

    def search(self, text: str, count: int = 20) -> list[tuple[int, str]]:
        """Return up to `count` classes whose name is like a text, the likest first."""
        return search_classes(self.names, text, count)

    def disputes(self, count: int = 60) -> list[Dispute]:
        """Return up to `count` images on which people differ and nobody has decided."""
        with self._lock:
            self._refresh()
            cards = self._suggester.cards(self._ballots.differing()[:count])
            return [Dispute(card, self._opinions(card.row)) for card in cards]

    def decide(self, annotator: str, row: int, label: int) -> None:
        """Settle an image, whatever others say about it; RunError as `answer`."""
        _check([label])
        with self._lock:
            self.run.record([row], [label], annotator=annotator, source=DECISION)
            self._refresh()
        self._ahead.look()

    def put_aside(self, count: int = 60) -> list[Card]:
        """Return up to `count` images that were skipped, for anybody to answer after all."""
        with self._lock:
            self._refresh()
            skipped = [row for row, standing in self._standing.items() if standing == SKIPPED]
            return self._suggester.cards(sorted(skipped)[:count])

    def status(self) -> Status:
        """Return how far people are."""
        with self._lock:
            self._refresh()
            standings = Counter(
                label for row, label in self._standing.items() if row not in self._given
            )
            measured = sum(self._standing.get(row, OPEN) >= 0 for row in self._measured)
            pace = self._diary.rate(RECENT, SHORTEST)
            return Status(
                labels=sum(n for label, n in standings.items() if label >= 0),
                put_aside=standings[SKIPPED],
                excluded=standings[EXCLUDED],
                disputes=len(self._ballots.differing()),
                rounds=self.run.store.rounds(),
                held_out=(measured, len(self._measured)),
                counts=self._counts(),
                shortlist=self._diary.hits,
                labels_an_hour=None if pace is None else 3600 * pace,
                agreement=self._agreement(),
                lacking=self._lacking(),
                waiting=len(self._queue),
                preparing=self._ahead.busy,
                over=None if self._queue else self.run.stopped(),
                problem=self._ahead.problem,
            )

    def _agreement(self) -> Agreement | None:
        """Return how far people agree; where one looks at each image, others only correct."""
        if self.run.config.per_image == 1:
            return None
        return agreement(list(self._ballots.votes.values()))

    def _lacking(self) -> int:
        per_image = self.run.config.per_image
        return max(per_image - self._diary.people, 0) if per_image > 1 else 0

    def _counts(self) -> list[ClassCount]:
        """Return how many labels teach of each class, the fewest first."""
        said = self._standing.keys() - self._measured
        found = Counter(self._known)
        found.update(self._standing[row] for row in said)
        found.subtract(self._given[row] for row in said if row in self._given)
        every = [ClassCount(label, name, found[label]) for label, name in enumerate(self.names)]
        return sorted(every, key=lambda c: (c.images, c.label))

    def _opinions(self, row: int) -> dict[str, int]:
        return {who: vote for who, vote in self._votes(row).items() if vote != SKIPPED}

    def _votes(self, row: int) -> dict[str, int]:
        return self._ballots.votes.get(row, {})

    def _refresh(self) -> None:
        """Take in what this process or another has added to the store."""
        batches = self.run.batches
        for batch in batches[self._batches :]:
            self._asked.update(batch.tolist())
            # Some may have been answered while the round was being prepared.
            self._queue |= {r: None for r in batch.tolist() if self._ballots.standing(r) == OPEN}
        self._batches = len(batches)
        for given in self.run.store.history(after=self._ballots.seen):
            self._ballots.add([given])
            self._diary.hear(given)
            self._settle(given.row)

    def _settle(self, row: int) -> None:
        """Note what a row stands at by now; one that is open again comes first."""
        standing = self._ballots.standing(row)
        if standing != OPEN:
            self._standing[row] = standing
            self._queue.pop(row, None)
            return
        self._standing.pop(row, None)
        if row not in self._asked and not self._votes(row):  # what somebody found, and nobody says
            self._queue.pop(row, None)
        elif row not in self._queue:
            self._queue = {row: None} | self._queue

    def _wants(self, row: int, annotator: str) -> bool:
        """Whether an image needs one more person, and this one has not looked at it."""
        votes = self._votes(row)
        missing = self.run.config.per_image - len(votes) - self._hands.holders(row)
        return annotator not in votes and missing > 0

    def _drop_settled(self, annotator: str) -> None:
        """Take images out of a hand that others have settled, or this person on another page."""
        for row in list(self._hands.of(annotator)):
            if self._ballots.standing(row) != OPEN or annotator in self._votes(row):
                self._hands.take(annotator, row)

    def _left(self) -> int:
        """Return how many images the person with the fewest to choose from can still be dealt."""
        with self._lock:
            self._refresh()
            people = self._hands.people()
            if not people:
                return len(self._queue)
            return min(sum(self._wants(row, who) for row in self._queue) for who in people)

    def _starved(self) -> bool:
        """Whether somebody who is here holds nothing."""
        with self._lock:
            return self._hands.empty()

    def _speed(self) -> float:
        """Return how many images go in a second, or soon will with the people who are here."""
        with self._lock:
            soon = USUAL * len(self._hands.people())
            return max(self._diary.rate(PACE) or 0.0, soon) / self.run.config.per_image


def _check(labels: Sequence[int]) -> None:
    """Refuse what is no answer; the run knows which classes there are."""
    for label in labels:
        if label < EXCLUDED:
            raise RunError(f"label {label} is no answer: expected a class, {SKIPPED} or {EXCLUDED}")


def _sure(card: Card) -> float:
    first = card.suggestions[0] if card.suggestions else None
    return first.probability or 0.0 if first else 0.0
