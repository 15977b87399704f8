"""How far people are: what is always in sight while they label."""

from typing import NamedTuple

from clipcache.agreement import Agreement
from clipcache.labels import Round


class ClassCount(NamedTuple):
    """How many labels a class has."""

    label: int
    name: str
    images: int


class Status(NamedTuple):
    """Where a run stands."""

    labels: int
    """Images that have a label by now, those that are held out among them."""
    put_aside: int
    """Images that were skipped."""
    excluded: int
    disputes: int
    """Images on which people differ and nobody has decided."""
    rounds: list[Round]
    """What closed rounds measured."""
    held_out: tuple[int, int]
    """Images to measure on that have a label, and all of them."""
    counts: list[ClassCount]
    """Every class, the one with the fewest labels first."""
    shortlist: tuple[int, int]
    """How often the answer was among the suggestions, and of how many."""
    labels_an_hour: float | None
    """Answers of all people in the last ten minutes, as a rate; None before there are two."""
    agreement: Agreement | None
    """None where no image was judged by two."""
    lacking: int
    """How many people have yet to join in, where several look at each image; then labels count."""
    waiting: int
    """Images that were asked for and are not settled."""
    preparing: bool
    """Whether the next round is being prepared."""
    over: str | None
    """Why no more images are asked for; None while there is more to do."""
    problem: str | None
    """What keeps the next round from being prepared."""
