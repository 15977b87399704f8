"""Any oracle, with mistakes."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import Labels, RowIds
from clipcache.oracles.base import Oracle

__all__ = ["Noisy"]


@dataclass(frozen=True, eq=False)
class Noisy:
    """Answers wrongly, with another class drawn uniformly, for a share of the rows."""

    oracle: Oracle
    rate: float
    """Probability of a mistake, in [0, 1]."""
    n_classes: int
    seed: int

    def label(self, rows: RowIds) -> Labels:
        """Return labels of which about `rate` are wrong; the same row gets the same answer."""
        labels = self.oracle.label(rows).copy()
        if self.n_classes < 2:
            return labels
        for i, row in enumerate(rows.tolist()):
            rng = np.random.default_rng((self.seed, row))
            if rng.random() < self.rate:
                labels[i] = (labels[i] + rng.integers(1, self.n_classes)) % self.n_classes
        return labels
