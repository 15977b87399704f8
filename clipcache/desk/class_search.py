"""Finds a class by a few letters of its name."""

import difflib
from collections.abc import Sequence


def search_classes(names: Sequence[str], text: str, count: int) -> list[tuple[int, str]]:
    """Return up to `count` places and names of classes that are like a text, the likest first.

    Where no name contains the text, names that are spelt much like it are returned.

    >>> search_classes(["coat", "shirt", "night shirt"], "SHI", 5)
    [(1, 'shirt'), (2, 'night shirt')]
    >>> search_classes(["coat", "shirt"], "caot", 5)
    [(0, 'coat')]
    """
    wanted = " ".join(text.split()).casefold()
    ranked = [
        (rank, place)
        for place, name in enumerate(names)
        if (rank := _likeness(wanted, name.casefold())) is not None
    ]
    if ranked:
        return [(place, names[place]) for _, place in sorted(ranked)][:count]
    folded = {name.casefold(): place for place, name in reversed(list(enumerate(names)))}
    close = difflib.get_close_matches(wanted, folded, n=count)
    return [(folded[name], names[folded[name]]) for name in close]


def _likeness(wanted: str, name: str) -> int | None:
    """Return how like a name is to what was typed, 0 the same; None where it lacks it."""
    if wanted == name:
        return 0
    if name.startswith(wanted):
        return 1
    if any(word.startswith(wanted) for word in name.split()):
        return 2
    return 3 if wanted in name else None
