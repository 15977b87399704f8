"""The labels that the cache already has, handed out one batch at a time."""

from dataclasses import dataclass, field

from clipcache.arrays import Labels, RowIds
from clipcache.errors import RunError

__all__ = ["Replay"]


@dataclass(frozen=True, eq=False)
class Replay:
    """Plays the person for experiments."""

    labels: Labels = field(repr=False)
    """(n,) int64: the true class of every row of the cache, -1 unknown."""

    def label(self, rows: RowIds) -> Labels:
        """Return the known labels; RunError for a row that has none."""
        labels = self.labels[rows]
        if (labels < 0).any():
            raise RunError(
                f"row {rows[labels < 0][0]} has no label in the cache, so it cannot be replayed"
            )
        return labels
