"""What a head says of labelled rows while their labels are kept from it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from clipcache.arrays import Labels, Logits, RowIds, Vectors
from clipcache.projection import HasLogits


class OutOfFold(NamedTuple):
    """Opinions about labelled rows, each from a head that was fitted without the row."""

    places: RowIds
    """(m,) int64, sorted: which of the labelled rows were held out once."""
    logits: Logits
    """(m, c) float32."""


def folds(y: Labels, count: int, *, rng: np.random.Generator) -> Iterator[tuple[RowIds, RowIds]]:
    """Yield (kept, held out) places, each class spread over the folds; at most `count` of them.

    Nothing is held out of a class with one label: nobody could know it without that.

    Parameters
    ----------
    y : (l,) int64 classes.
    """
    places = rng.permutation(len(y))
    places = places[np.bincount(y)[y[places]] > 1]
    places = places[np.argsort(y[places], kind="stable")]
    for number in range(min(count, len(places))):
        out = places[number::count]
        yield np.setdiff1d(np.arange(len(y)), out), out


def out_of_fold(
    fit: Callable[[RowIds], HasLogits],
    x: Vectors,
    y: Labels,
    *,
    rng: np.random.Generator,
    count: int = 5,
) -> OutOfFold:
    """Return what heads say of the rows that they have not seen; classes with one label are not.

    Parameters
    ----------
    fit : makes a head from the labelled rows at some places.
    x, y : (l, d) labelled rows and their (l,) classes.
    count : heads that are fitted, each without one part in `count` of the labels.
    """
    places, logits = [], []
    for kept, out in folds(y, count, rng=rng):
        places.append(out)
        logits.append(fit(kept).logits(x[out]))
    if not places:
        return OutOfFold(np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=np.float32))
    order = np.argsort(np.concatenate(places))
    return OutOfFold(np.concatenate(places)[order], np.concatenate(logits)[order])
