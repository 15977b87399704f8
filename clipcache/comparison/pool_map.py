"""Where in the pool the images lie that were asked for: a map in two dimensions.

Each class has a place, similar classes near each other, and an image lies between the places of the
classes that it resembles: near one where it is typical, half-way between two where it is in doubt.
(No flat cut through the space shows more than three or four classes.) The map looks at all labels
of the pool, which a picture of a replay may.

References: de Leeuw 1977, "Applications of Convex Analysis to Multidimensional Scaling" (places of
the classes); Hoffman et al. 1997, "DNA Visual and Analytic Data Mining" (points between anchors).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax

from clipcache.arrays import Float64, Labels, RowIds, Vectors
from clipcache.dataset import Dataset
from clipcache.whitening import PoolSample, unit

SHOWN = 4_000
"""Images of the pool on a map: more only make it darker."""
SCALE = 15.0
"""What a cosine is multiplied with: with more, all images lie in a class's place; with less, all in
the middle. Looked at with 27 and with 101 classes."""
STEPS = 150
"""Of the layout; it hardly moves after 100."""


class PoolMap(NamedTuple):
    """Places on a plane."""

    pool: Vectors
    """(p, 2) float32: some images of the pool."""
    labels: Labels
    """(p,) their classes."""
    picks: dict[str, Vectors]
    """Arm -> (k, 2) places of the images that its first seed asked for after the start."""


def draw_map(data: Dataset, picks: Mapping[str, RowIds]) -> PoolMap:
    """Return where the labelled pool and the rows that each arm asked for lie.

    The same data gives the same map. Rows with a NaN or an infinity have no place and are left out.

    Parameters
    ----------
    picks : arm -> (k,) rows of the cache.
    """
    rng = np.random.default_rng(0)
    known = data.pool[data.labels[data.pool] >= 0]
    sample = PoolSample.draw(data.features, known, len(data.names), rng=rng)
    labels = data.labels[sample.distinct]
    shown = np.arange(len(labels))
    if len(shown) > SHOWN:
        shown = np.sort(rng.choice(shown, SHOWN, replace=False))
    means = _means(sample.whitened, labels)
    places = _layout(means)
    return PoolMap(
        pool=_between(sample.whitened[shown], means, places),
        labels=labels[shown],
        picks={
            arm: _between(sample.whitening(_vectors(data, rows)), means, places)
            for arm, rows in picks.items()
        },
    )


def _means(z: Vectors, labels: Labels) -> Vectors:
    """Return the direction of each class that occurs: (c, d) unit rows."""
    _, inverse = np.unique(labels, return_inverse=True)
    sums = np.zeros((inverse.max() + 1, z.shape[1]))
    np.add.at(sums, inverse, z)
    return unit(sums)


def _layout(means: Vectors) -> Float64:
    """Return (c, 2) places whose distances are as near to those of the means as can be.

    From the plane of principal components, each step lowers the stress (SMACOF).
    """
    wanted = cdist(means, means)
    left, spread, _ = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    places = np.zeros((len(means), 2))
    flat = (left * spread)[:, :2]
    places[:, : flat.shape[1]] = flat
    for _ in range(STEPS):
        found = cdist(places, places)
        pull = np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)
        places = (pull.sum(axis=1)[:, None] * places - pull @ places) / len(places)
    return places


def _between(z: Vectors, means: Vectors, places: Float64) -> Vectors:
    """Return where (b, d) whitened rows lie between the classes: (b, 2) float32."""
    among: Vectors = (softmax(SCALE * (z @ means.T), axis=1) @ places).astype(np.float32)
    return among


def _vectors(data: Dataset, rows: RowIds) -> Vectors:
    x = data.features[rows].astype(np.float32)
    return x[np.isfinite(x).all(axis=1)]
