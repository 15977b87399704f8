"""Where in the pool the images lie that were asked for: a map in two dimensions."""

from typing import NamedTuple

from clipcache.arrays import Labels, Vectors


class PoolMap(NamedTuple):
    """Places on a plane."""

    pool: Vectors
    """(p, 2) float32: some images of the pool."""
    labels: Labels
    """(p,) their classes."""
    picks: dict[str, Vectors]
    """Arm -> (k, 2) places of the images that its first seed asked for after the start."""
