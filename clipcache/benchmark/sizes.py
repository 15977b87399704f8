"""How many rows each class of a pool has: a published pool, one with a rarer tail, or as told."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from clipcache.errors import SourceError
from clipcache.vectors.lines import Lines

Counts = npt.NDArray[np.int64]
"""(c,) rows of each class."""

REPORT_ROWS, REPORT_CLASSES, REPORT_SIZES = 246_841, 40, (25_000, 1_700)
"""The published pool: images, classes, images of the largest and of the smallest class."""
BEND = 0.6014
"""Makes the published sizes fit each other: a straight geometric fall would add up to 351,510."""
TAIL_SIZES = (500, 50)
"""Images of the rarest quarter in a pool of the published size, from the first to the last."""
TEST_FLOOR = 50
"""Test rows of a class at least: the recall of a class is then known to 7 points or better."""
LEAST = 2
"""Rows of a class at least."""


def class_sizes(histogram: str, rows: int, classes: int) -> Counts:
    """Return (classes,) sizes from the largest to the smallest that add up to `rows`.

    "report" falls as from 25,000 to 1,700 with 40 classes and 246,841 rows. "tail" is the same, but
    that the rarest quarter of the classes has 500 to 50 rows, or fewer in a smaller pool.

    Raises SourceError for another name, or where not every class gets `LEAST`.
    """
    first, last = REPORT_SIZES
    place = np.linspace(0, 1, max(classes, 2))[:classes]
    shape = first * (last / first) ** place**BEND
    if histogram == "report":
        return apportion(shape, rows, LEAST)
    if histogram != "tail":
        raise SourceError(f"the histogram {histogram!r} is unknown; give report or tail")
    rare = classes // 4
    scale = min(1.0, (rows * REPORT_CLASSES) / (classes * REPORT_ROWS))
    tail = np.maximum(np.geomspace(*TAIL_SIZES, rare) * scale, LEAST).astype(np.int64)
    head = apportion(shape[: classes - rare], rows - int(tail.sum()), LEAST)
    return np.concatenate([head, tail])


def read_sizes(path: Path) -> Counts:
    """Return the (c,) sizes in a text file, one a line.

    Raises SourceError where a line is not a whole number from 1 on, or there is none.
    """
    sizes = []
    for number, line in enumerate(Lines(path), 1):
        if not line.strip().isdecimal() or not int(line):
            raise SourceError(
                f"line {number} of {path} is {line!r}: expected the rows of a class, 1 or more"
            )
        sizes.append(int(line))
    if not sizes:
        raise SourceError(f"{path} is empty: expected how many rows each class has, one a line")
    return np.array(sizes)


def apportion(weights: npt.ArrayLike, total: int, floor: int) -> Counts:
    """Return (c,) counts that add up to `total`, in proportion to `weights`, none below `floor`.

    What is left after rounding down goes to the largest remainders.

    Raises SourceError where there is not enough for all.

    >>> apportion([6, 3, 1], 100, 20)
    array([53, 27, 20])
    """
    w = np.asarray(weights, dtype=np.float64)
    if total < floor * len(w):
        raise SourceError(
            f"{total} rows are too few for {len(w)} classes: expected at least {floor} for each"
        )
    raised = np.zeros(len(w), dtype=bool)
    while True:
        free = total - floor * int(raised.sum())
        share = np.where(raised, floor, free * w / max(w[~raised].sum(), np.finfo(float).tiny))
        if not (share < floor).any():
            break
        raised |= share < floor
    counts = np.floor(share).astype(np.int64)
    order = np.argsort(np.where(raised, 0.0, counts - share), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def held_out_sizes(counts: Counts, rows: int) -> Counts:
    """Return (c,) sizes of a test split of `rows`: as in the pool, but `TEST_FLOOR` at least.

    Top-1 should mean what a user of that pool would see, which a balanced split does not tell; and
    the recall of each class, of which the balanced measures are means, needs some rows of the
    rare ones. In the published pool nothing has to be raised. Fewer than `TEST_FLOOR` rows a class
    in all are shared out evenly.
    """
    floor = min(TEST_FLOOR, rows // len(counts))
    return apportion(counts, rows, max(floor, LEAST))
