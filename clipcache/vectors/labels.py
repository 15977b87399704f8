"""What the rows show: numbers or names, brought to indices into a list of class names."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Labels
from clipcache.errors import SourceError
from clipcache.vectors.lines import Lines
from clipcache.vectors.npy import load_npy

Names = tuple[str, ...]


def read_labels(path: Path, names: Names | None) -> tuple[Labels, Names]:
    """Return the labels in a file and their class names: integers in a .npy, or names in lines.

    `names` are all class names, where they are known beforehand. Raises SourceError where the file
    cannot be read or does not fit them.
    """
    if path.suffix.lower() == ".npy":
        return number_labels(load_npy(path), names, str(path))
    return name_labels(Lines(path), names, str(path))


def number_labels(
    values: npt.NDArray[Any], names: Names | None, where: str
) -> tuple[Labels, Names]:
    """Return (n,) int64 labels for integers, and names: without `names` "0", "1", ...

    Raises SourceError unless all are integers from -1 (unknown) to the last class.
    """
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise SourceError(
            f"{where} has the shape {values.shape} and holds {values.dtype}: expected one integer "
            "a row"
        )
    low, high = (int(values.min()), int(values.max())) if len(values) else (-1, -1)
    if names is None:
        if high >= len(values):  # nobody wants class names up to the largest of some other numbers
            raise SourceError(
                f"{where} has labels up to {high} for {len(values)} rows: expected classes that "
                "count from 0; give their names with --names"
            )
        names = tuple(map(str, range(high + 1)))
    if low < -1 or high >= len(names):
        raise SourceError(
            f"{where} has labels from {low} to {high}, but there are {len(names)} class names: "
            f"expected -1 (unknown) to {len(names) - 1}"
        )
    return values.astype(np.int64), names


def name_labels(values: Iterable[str], names: Names | None, where: str) -> tuple[Labels, Names]:
    """Return (n,) int64 labels for class names, and the names: without `names` those that occur.

    An empty value is an unlabelled row. Raises SourceError for one that is not in `names`.
    """
    found = {"": -1}  # in order of first sight, so that the values are gone through only once
    codes = np.fromiter((found.setdefault(v.strip(), len(found) - 1) for v in values), np.int64)
    del found[""]
    names = tuple(sorted(found)) if names is None else names
    place = {name: index for index, name in enumerate(names)}
    for name in found:
        if name not in place:
            raise SourceError(
                f"{where} has the label {name!r}, which is not in the list of {len(names)} class "
                "names: add it to the list"
            )
    final = np.array([*(place[name] for name in found), -1], dtype=np.int64)
    return final[codes], names  # the code -1 finds the last entry, which is -1


def check_count(count: int, where: str, n: int, other: str) -> None:
    """Raise SourceError unless `where` has one entry for each of the n vectors in `other`."""
    if count != n:
        raise SourceError(
            f"{where} has {count} entries, but {other} has {n} vectors: expected one for each"
        )
