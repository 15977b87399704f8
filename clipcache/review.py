"""Labels for a second look: those that a head contradicts which was fitted without them.

As in confident learning, every label is judged out of its fold; listed is what looks more like
another class, the least likely labels first. Classes with a single label are not judged.

Five sets of real features (`bench/classifier.py`), labels chosen by the default strategy, one in
twenty made wrong, three seeds:

| labels | of the first 20, wrong | of all wrong ones, among the first 20 | among the first 50 |
|---|---|---|---|
| some 240 | 49 % | 83 % | 91 % |
| some 520 | 86 % | 67 % | 93 % |

Confident learning itself suspects only where the other class is as likely as it usually is for rows
that carry it, and ranks by the difference of the two. Heads with few labels are rarely that sure of
a row that they have not seen: 33 % and 49 % of its first 20 were wrong, and of all wrong ones 71 %
and 60 % were among its first 50.

Reference: Northcutt, Jiang, Chuang 2021, "Confident learning: estimating uncertainty in dataset
labels"; of its rankings, that by self-confidence.
"""

from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from clipcache.arrays import Float64, Labels, RowIds
from clipcache.classifier.lesson import Lesson
from clipcache.classifier.taught import count_taught
from clipcache.run import Run


class Doubts(NamedTuple):
    """Labels that are contradicted, the least likely first."""

    places: RowIds
    """(s,) int64: which of the rows."""
    instead: Labels
    """(s,) int64: the likeliest class of each."""


def find_doubts(probs: Float64, labels: Labels) -> Doubts:
    """Return the labels that are less likely than another class.

    Parameters
    ----------
    probs : (m, c) float64 probabilities, each row from a head that was fitted without it.
    labels : (m,) int64, the classes that the rows were given.
    """
    own = probs[np.arange(len(labels)), labels]
    likeliest = probs.argmax(axis=1)
    contradicted = np.flatnonzero(likeliest != labels)
    contradicted = contradicted[np.argsort(own[contradicted], kind="stable")]
    return Doubts(contradicted, likeliest[contradicted])


@dataclass(frozen=True)
class Doubt:
    """One label that deserves a second look."""

    row: int
    key: str
    label: str
    """What it was given."""
    probability: float
    """Of that class, as a head sees it that did not know the label; in [0, 1]."""
    instead: str
    """What it looks like."""
    instead_probability: float
    annotators: tuple[str, ...]
    """Who gave it; nobody, where the cache knew."""


def review(run: Run, top: int | None = None) -> list[Doubt]:
    """Return the labels of a run that are doubted, the most doubtful first, at most `top`.

    Rows that somebody has decided about were looked at twice, and are not among them. Fits five
    heads. RunError where the run has no labels yet; empty where no class has two.
    """
    lesson = Lesson.of(run)
    judged = lesson.out_of_fold()
    if not len(judged.places):
        return []
    probs = softmax(judged.logits.astype(np.float64), axis=1)
    labels = lesson.y[judged.places]
    doubts = find_doubts(probs, labels)
    keys, ballots = run.cache.keys(), run.ballots

    def doubt(place: int, instead: int) -> Doubt:
        row, label = int(lesson.rows[judged.places[place]]), int(labels[place])
        said = ballots.votes.get(row, {}).items()
        return Doubt(
            row=row,
            key=str(keys[row]),
            label=lesson.names[label],
            probability=round(float(probs[place, label]), 6),
            instead=lesson.names[instead],
            instead_probability=round(float(probs[place, instead]), 6),
            annotators=tuple(who for who, vote in said if vote == label),
        )

    found = zip(doubts.places.tolist(), doubts.instead.tolist(), strict=True)
    listed = (doubt(*one) for one in found)
    return list(islice((one for one in listed if one.row not in ballots.decisions), top))


def already_learned(run: Run) -> int:
    """Return how many labels of a run its encoder was trained on, wrong ones among them.

    Heads that have not seen such a label agree with it too easily.
    """
    return count_taught(run.cache, run.labelled()[0])
