"""Which rows to label before there is a head: iteration zero."""

from collections.abc import Sequence

import numpy as np

from clipcache.arrays import Labels, RowIds
from clipcache.errors import RunError


def choose_start(
    spec: str,
    rows: RowIds,
    labels: Labels,
    names: Sequence[str],
    *,
    rng: np.random.Generator,
) -> RowIds:
    """Return the first rows to label.

    Parameters
    ----------
    spec : "stratified:3" (so many of each class, as in the report; needs known labels) or
        "random:120" (so many of all).
    rows : (u,) the rows to choose from.
    labels : (u,) their classes, -1 unknown; only "stratified" looks at them.
    names : the class names, for messages.

    Raises RunError for another spec, and where a class or the pool has too few images.
    """
    kind, _, count = spec.partition(":")
    if kind not in ("stratified", "random") or not count.isdecimal() or int(count) < 1:
        raise RunError(f"--init {spec} is not understood; give stratified:3 or random:120, say")
    if kind == "stratified":
        return _stratified(int(count), rows, labels, names, rng)
    if int(count) > len(rows):
        raise RunError(f"--init {spec} asks for more images than the pool has ({len(rows)})")
    return rng.choice(rows, size=int(count), replace=False)


def _stratified(
    each: int, rows: RowIds, labels: Labels, names: Sequence[str], rng: np.random.Generator
) -> RowIds:
    chosen = []
    for index, name in enumerate(names):
        members = rows[labels == index]
        if len(members) < each:
            raise RunError(
                f"--init stratified:{each} needs {each} images of each class, but the pool has "
                f"{len(members)} of {name!r}; ask for fewer, or use random:N"
            )
        chosen.append(rng.choice(members, size=each, replace=False))
    return np.concatenate(chosen)
