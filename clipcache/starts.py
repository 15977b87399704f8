"""Which rows to label before there is a head: iteration zero."""

from collections.abc import Sequence

import numpy as np

from clipcache.arrays import Labels, RowIds
from clipcache.errors import RunError
from clipcache.neighbors import kmeans
from clipcache.typicality import typical
from clipcache.whitening import PoolSample

KINDS = ("kmeans", "random", "stratified", "typiclust")
UNNAMED = 20
MOST = 200
"""With thousands of classes nobody wants to label one image of each before a head is fitted."""


def start_size(spec: str, labels: Labels, names: Sequence[str]) -> int:
    """Return how many rows `choose_start` will choose.

    Parameters
    ----------
    spec : "kmeans:40" (the images in the middle of so many clusters), "typiclust:40" (the most
        typical ones of so many clusters), "random:40" (any so many), or "stratified:3" (so many of
        each class that occurs among the known labels, as in the report). All but the last may do
        without the number: as many as there are classes, `MOST` at most, `UNNAMED` where nobody
        has named them, and no more than there are rows.
    labels : (u,) classes of the rows to choose from, -1 unknown; only "stratified" looks at them.
    names : the class names.

    Raises RunError for another spec, and where a class or the pool has too few images.
    """
    kind, colon, text = spec.partition(":")
    if not colon and kind != "stratified":
        wanted = min(len(names), MOST) if len(names) > 1 else UNNAMED
        text = str(min(wanted, len(labels)))
    if kind not in KINDS or not text.isdecimal() or int(text) < 1:
        raise RunError(
            f"--init {spec} is not understood; give kmeans:40, random:40 or stratified:3, say"
        )
    count = int(text)
    if kind != "stratified":
        if count > len(labels):
            raise RunError(f"--init {spec} asks for more images than the pool has ({len(labels)})")
        return count
    classes, found = np.unique(labels[labels >= 0], return_counts=True)
    if not len(classes):
        raise RunError(f"--init {spec} needs known labels, but the pool has none; use random:N")
    for index, images in zip(classes.tolist(), found.tolist(), strict=True):
        if images < count:
            raise RunError(
                f"--init {spec} needs {count} images of each class, but the pool has "
                f"{images} of {names[index]!r}; ask for fewer, or use random:N"
            )
    return count * len(classes)


def choose_start(
    spec: str,
    rows: RowIds,
    labels: Labels,
    names: Sequence[str],
    sample: PoolSample,
    *,
    rng: np.random.Generator,
) -> RowIds:
    """Return the first rows to label, of the (u,) `rows` with their (u,) `labels`.

    `sample` is of the same rows. For the rest, and for errors, see `start_size`.
    """
    size = start_size(spec, labels, names)
    kind = spec.partition(":")[0]
    if kind in ("kmeans", "typiclust"):
        different = min(size, len(sample.distinct))
        find = _middles if kind == "kmeans" else _typical
        chosen = sample.distinct[find(different, sample, rng)]
        others = np.setdiff1d(rows, chosen)  # where the pool has fewer different images
        more = rng.choice(others, size=size - len(chosen), replace=False)
        return np.concatenate([chosen, more])
    if kind == "random":
        return rng.choice(rows, size=size, replace=False)
    classes = np.unique(labels[labels >= 0])
    each = size // len(classes)
    members = [rows[labels == index] for index in classes]
    return np.concatenate([rng.choice(of, size=each, replace=False) for of in members])


def _middles(size: int, sample: PoolSample, rng: np.random.Generator) -> RowIds:
    """Return the place nearest to the middle of each of `size` clusters, of the largest first."""
    found = kmeans(sample.whitened, size, rng=rng, restarts=3)
    by_distance = np.argsort(found.distance, kind="stable")
    clusters, first = np.unique(found.cluster[by_distance], return_index=True)
    largest = np.argsort(-np.bincount(found.cluster)[clusters], kind="stable")
    return by_distance[first[largest]]


def _typical(size: int, sample: PoolSample, rng: np.random.Generator) -> RowIds:
    return typical(sample.whitened, size, known=np.empty(0, dtype=np.int64), rng=rng)
