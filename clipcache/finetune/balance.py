"""Which images a network is shown next: each class as often as any other."""

from collections.abc import Iterator

import numpy as np

from clipcache.arrays import Labels


def balanced(y: Labels, *, rng: np.random.Generator) -> Iterator[int]:
    """Yield places of (l,) labels without end; classes take turns, and images within each class.

    In every stretch of as many places as there are classes, each class stands once, and no image
    of a class comes again before all others of it came.
    """
    classes = np.unique(y).tolist()
    members = {c: np.flatnonzero(y == c) for c in classes}
    waiting: dict[int, list[int]] = {c: [] for c in classes}
    while True:
        for c in rng.permutation(classes).tolist():
            if not waiting[c]:
                waiting[c] = rng.permutation(members[c]).tolist()
            yield waiting[c].pop()
