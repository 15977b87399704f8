"""What an image is likely to be: the few classes that a person chooses among first."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from clipcache import scoring
from clipcache.heads.base import FittedHead, names_known, text_weights
from clipcache.learner import NO_ROWS
from clipcache.run import Run

SHOWN = 5


class Suggestion(NamedTuple):
    """One class that an image may be of."""

    label: int
    name: str
    probability: float | None
    """In [0, 1]; None for a class that no head knows yet."""


class Card(NamedTuple):
    """One image as one person sees it."""

    row: int
    key: str
    suggestions: tuple[Suggestion, ...]
    """At most five, the likeliest first."""

    def offers(self) -> list[tuple[int, str]]:
        """Return label and name of each suggestion."""
        return [(suggestion.label, suggestion.name) for suggestion in self.suggestions]

    def place(self, label: int) -> int | None:
        """Return where a class stands among the suggestions, -1 where it does not.

        None where nothing was predicted, so that it does not count for or against the predictions,
        and for what is no class.
        """
        if label < 0 or all(s.probability is None for s in self.suggestions):
            return None
        return next((i for i, s in enumerate(self.suggestions) if s.label == label), -1)


class Suggester:
    """Makes cards with the newest head; before the first one, with what class names say."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._keys = run.cache.keys()
        self._round = -1
        self._head: FittedHead | None = _zero_shot(run)

    def cards(self, rows: list[int]) -> list[Card]:
        """Return a card for each row, in their order."""
        if not rows:
            return []
        self._renew()
        names = self._run.names
        if self._head is None:
            used = Counter(self._run.ballots.labels().values())
            order = sorted(range(len(names)), key=lambda label: (-used[label], label))
            plain = tuple(Suggestion(label, names[label], None) for label in order[:SHOWN])
            return [Card(row, self._key(row), plain) for row in rows]
        features = self._run.data.features
        known = self._head.logits(np.zeros((1, features.shape[1]), dtype=np.float32)).shape[1]
        likely = scoring.shortlist(features, np.array(rows), self._head, min(SHOWN, known))
        found = (values.tolist() for values in likely)
        new = tuple(Suggestion(label, names[label], None) for label in range(known, len(names)))
        return [
            Card(row, self._key(row), (*_named(classes, probs, names), *new)[:SHOWN])
            for row, classes, probs in zip(rows, *found, strict=True)
        ]

    def _key(self, row: int) -> str:
        return str(self._keys[row])

    def _renew(self) -> None:
        last = self._run.store.last_round()
        if last is not None and last != self._round:
            self._head, self._round = self._run.head(), last


def _named(classes: list[int], probs: list[float], names: tuple[str, ...]) -> list[Suggestion]:
    return [Suggestion(k, names[k], min(p, 1.0)) for k, p in zip(classes, probs, strict=True)]


def _zero_shot(run: Run) -> FittedHead | None:
    text, classes = run.data.text, len(run.data.names)
    if not names_known(text, classes).any():
        return None
    x = run.data.features[NO_ROWS].astype(np.float32)
    return text_weights(text, classes, x, NO_ROWS, head="zero_shot")
