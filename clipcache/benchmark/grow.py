"""A pool of the size of a real project, grown out of the real rows of a smaller one.

Each grown row is `m + a z_i + b (cos t z_j + sin t z_k)`: m the mean of its class, z the real rows
of the class minus m (times sqrt(s / (s - 1)) for s rows, which makes their spread an unbiased
one), i, j and k drawn anew with j and k other than i, the angle t drawn evenly, a^2 + b^2 = 1.
Since cos t and sin t are 0 on average and so is their product, rows of a class are drawn from a
distribution with exactly the mean and the covariance estimated from the real rows, before they are
brought to length 1.

What this cannot do: a class of 36 real rows varies in 35 directions and no others, however many
rows are grown, and its rows gather around 36 places. Grown rows find their nearest neighbour in
their own class more often than real ones do, and heads that learn from the pool profit from that:
compare methods on grown pools for speed and memory, and for how they behave with sizes and long
tails; how many labels a method saves is a question for real rows.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Labels, RowIds, Vectors
from clipcache.benchmark.sizes import Counts, held_out_sizes
from clipcache.dataset import Dataset
from clipcache.errors import SourceError
from clipcache.vectors.base import ListedRows, VectorSet
from clipcache.vectors.keys import NumberKeys

LEAST_ROWS = 2
"""Real rows a class and split: one alone could only be copied."""
OWN = 0.85
"""The share a of the first row. Chosen on one set (DTD), confirmed on another (UCF101), see
bench/grow_pool.py: with less, classes become round clouds, easy for heads that learn from the
pool; with more, rows become copies."""
BLOCK = 256
"""Rows that are made at a time: what is added up stays in the processor's cache, which is two to
four times as fast as 8,192 at once."""


@dataclass(frozen=True, eq=False)
class GrownRows:
    """(n, d) float32 rows, made when they are read, of any length; 24 bytes a row are held."""

    means: Vectors
    """(c, d) of the real rows of each class."""
    residuals: Vectors
    """(s, d) what the real rows differ from their class's mean by."""
    labels: Labels
    """(n,) class of each grown row."""
    parents: npt.NDArray[np.int32]
    """(n, 3) places among the residuals."""
    angles: npt.NDArray[np.float32]
    """(n,) in radians."""

    @classmethod
    def draw(cls, x: Vectors, y: Labels, counts: Counts, *, rng: np.random.Generator) -> Self:
        """Return `counts` rows of each class in random order, grown from (s, d) real rows.

        `y` has at least two rows of each class.
        """
        order = np.argsort(y, kind="stable")
        sizes = np.bincount(y, minlength=len(counts))
        starts = np.cumsum(sizes) - sizes
        labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
        own, first = sizes[labels], starts[labels]
        one = rng.integers(own)
        others = (one[:, None] + rng.integers(1, own[:, None], (len(labels), 2))) % own[:, None]
        parents = first[:, None] + np.column_stack([one, others])
        angles = rng.uniform(0, 2 * np.pi, len(labels))
        residuals = x[order]
        means = np.empty((len(counts), x.shape[1]), dtype=np.float32)
        for c, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            real = residuals[start : start + size]
            means[c] = real.mean(axis=0, dtype=np.float64)
            real -= means[c]
            real *= np.sqrt(size / (size - 1))
        return cls(means, residuals, labels, parents.astype(np.int32), angles.astype(np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        """Return (n, d)."""
        return len(self.labels), self.means.shape[1]

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Return float32."""
        return np.dtype(np.float32)

    def __getitem__(self, rows: slice, /) -> Vectors:
        """Return some consecutive rows; a row is the same in whatever slice it is read."""
        start, stop, _ = rows.indices(len(self.labels))
        out = np.empty((stop - start, self.shape[1]), dtype=np.float32)
        for first in range(start, stop, BLOCK):
            part = slice(first, min(first + BLOCK, stop))
            out[part.start - start : part.stop - start] = self._block(part)
        return out

    def _block(self, rows: slice) -> Vectors:
        one, two, three = self.residuals[self.parents[rows].T]
        angle, rest = self.angles[rows, None], np.float32(np.sqrt(1 - OWN**2))
        made: Vectors = one * np.float32(OWN)
        made += two * (rest * np.cos(angle))
        made += three * (rest * np.sin(angle))
        made += self.means[self.labels[rows]]
        return made


def grow(
    source: Dataset, counts: Counts, test_rows: int, *, name: str, rng: np.random.Generator
) -> VectorSet:
    """Return a pool with `counts` rows a class and a test split, as `import_features` takes them.

    The classes are those with most images in the source's pool, in the source's order; which of
    them gets which size is drawn, so that size says nothing about how hard a class is. The pool
    grows from real pool rows only and the test split from real test rows only.

    Raises SourceError where the source has too few classes, or too few rows of one.
    """
    chosen = _largest(source, len(counts))
    sizes = rng.permutation(counts)
    blocks = []
    for rows, wanted in ((source.pool, sizes), (source.test, held_out_sizes(sizes, test_rows))):
        x, y = _rows_of(source, rows, chosen)
        blocks.append(GrownRows.draw(x, y, wanted, rng=rng))
    labels = np.concatenate([block.labels for block in blocks])
    names = tuple(source.names[c] for c in chosen)
    held_out = len(blocks[0].labels)
    text = source.text.vectors[chosen] if source.text else None
    return VectorSet(
        name,
        tuple(blocks),
        ListedRows(NumberKeys(len(labels)), labels, names, held_out=held_out),
        text,
    )


def _largest(source: Dataset, classes: int) -> RowIds:
    """Return the sorted (classes,) classes with most images; SourceError unless they can grow."""
    pool, test = (
        np.bincount(known[known >= 0], minlength=len(source.names))
        for known in (source.labels[source.pool], source.labels[source.test])
    )
    there = int((pool > 0).sum())
    if classes > there:
        raise SourceError(
            f"the source has images of {there} classes in its pool, and {classes} are asked for: "
            "ask for fewer"
        )
    chosen = np.sort(np.argsort(-pool, kind="stable")[:classes])
    for split, found in (("pool", pool), ("test", test)):
        for c in chosen[found[chosen] < LEAST_ROWS][:1]:
            raise SourceError(
                f"the source has {found[c]} images of {source.names[c]!r} in its {split} split: "
                f"growing takes at least {LEAST_ROWS}; ask for fewer classes"
            )
    return chosen


def _rows_of(source: Dataset, rows: RowIds, chosen: RowIds) -> tuple[Vectors, Labels]:
    """Return the rows of the chosen classes, and their places among these."""
    number = np.full(len(source.names), -1)
    number[chosen] = np.arange(len(chosen))
    known = rows[source.labels[rows] >= 0]
    y = number[source.labels[known]]
    return source.features[known[y >= 0]].astype(np.float32), y[y >= 0]
