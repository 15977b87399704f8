"""What every oracle promises."""

from typing import Protocol

from clipcache.arrays import Labels, RowIds


class Oracle(Protocol):
    """Knows the answers. What it says about a row does not depend on when it is asked."""

    def label(self, rows: RowIds) -> Labels:
        """Return the (k,) int64 classes of the given rows."""
        ...
