"""A head that the pool teaches, not only its labels: see clipcache/discriminant.py."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import Labels, Vectors
from clipcache.discriminant import Discriminant
from clipcache.errors import RunError
from clipcache.heads.base import LinearWeights, Probe, check_training_set
from clipcache.text import LabelText
from clipcache.whitening import PoolSample

__all__ = ["Transductive"]


@dataclass(frozen=True)
class Transductive:
    """Discriminant analysis on labels and pool, guided by a probe on labels and names."""

    strength: float = Discriminant.strength
    """The pool counts as at most so many labels of each class, and a row as at most one."""

    trust: float = Discriminant.trust
    """How much the opinion of a probe on labels and names counts for each row of the pool."""

    def fit(
        self,
        x: Vectors,
        y: Labels,
        *,
        n_classes: int,
        text: LabelText | None,
        rng: np.random.Generator,
        start: LinearWeights | None = None,
        pool: PoolSample | None = None,
    ) -> LinearWeights:
        """Return the weights; RunError without a pool.

        A class with neither a label nor a name that the encoder knows is never predicted.
        """
        check_training_set(x, y, n_classes)
        if pool is None or not len(pool.vectors):
            raise RunError("the transductive head learns from a pool, but there is none")
        probe = Probe(n_classes, text, rng, pool)
        rule = Discriminant(strength=self.strength, trust=self.trust)
        found = rule.fit(x, y, pool, probe.fit(x, y, start), probe.known(y))
        return LinearWeights(found.weight, found.bias)
