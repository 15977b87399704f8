"""What follows from all that people said: the label that an image has, or why it has none yet.

Entries of the history come in one by one, so that nothing is counted twice; the same entries in the
same order always say the same.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from clipcache.labels import DECISION, SKIPPED, WITHDRAWN, Given

OPEN = -4
"""In the place of a label: more people are to look at this image."""
DISPUTED = -5
"""In the place of a label: all who were to look have looked, and most of them for no class."""


@dataclass
class Ballots:
    """Votes of all annotators on all images."""

    per_image: int = 1
    """How many people look at each image."""
    votes: dict[int, dict[str, int]] = field(default_factory=dict, repr=False)
    """Row -> annotator -> what they said last: a class, SKIPPED or EXCLUDED; in order of saying."""
    decisions: dict[int, int] = field(default_factory=dict, repr=False)
    """Row -> what was decided, whatever the votes are."""
    seen: int = 0
    """The id of the last entry that is counted."""

    def add(self, entries: Iterable[Given]) -> None:
        """Count entries of the history, which come in the order of their ids."""
        for given in entries:
            self.seen = given.id
            if given.source == DECISION:
                self._decide(given)
            else:
                self._vote(given)

    def _decide(self, given: Given) -> None:
        self.decisions.pop(given.row, None)
        if given.label != WITHDRAWN:
            self.decisions[given.row] = given.label

    def _vote(self, given: Given) -> None:
        votes = self.votes.setdefault(given.row, {})
        votes.pop(given.annotator, None)  # what is said anew is said last
        if given.label != WITHDRAWN:
            votes[given.annotator] = given.label
        elif not votes:
            del self.votes[given.row]

    def standing(self, row: int) -> int:
        """Return the label of a row, SKIPPED, EXCLUDED, OPEN or DISPUTED.

        Where one person looks at each image, the last who did not skip it is right. Where several
        do, more than half of those who did not skip it are.
        """
        if row in self.decisions:
            return self.decisions[row]
        votes = list(self.votes.get(row, {}).values())
        if len(votes) < self.per_image:
            return OPEN
        opinions = [vote for vote in votes if vote != SKIPPED]
        if not opinions:
            return SKIPPED
        if self.per_image == 1:
            return opinions[-1]
        first, count = Counter(opinions).most_common(1)[0]
        return first if 2 * count > len(opinions) else DISPUTED

    def rows(self) -> set[int]:
        """Return every row that somebody said something about that still holds."""
        return self.votes.keys() | self.decisions.keys()

    def labels(self) -> dict[int, int]:
        """Return row -> class of every row that has one."""
        found = {row: self.standing(row) for row in self.rows()}
        return {row: label for row, label in found.items() if label >= 0}

    def differing(self) -> list[int]:
        """Return the rows, sorted, on which people differ and nobody has decided.

        Where one person looks at each image, a second one corrects the first, and none differ.
        """
        if self.per_image == 1:
            return []
        return sorted(
            row
            for row, votes in self.votes.items()
            if row not in self.decisions and len(set(votes.values()) - {SKIPPED}) > 1
        )
