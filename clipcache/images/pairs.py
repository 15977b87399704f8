"""Two whole numbers a name, for millions of names: 24 bytes each, since only a hash is kept."""

from array import array
from functools import cached_property
from hashlib import blake2b

import numpy as np
import numpy.typing as npt


class Pairs:
    """Filled once, then asked by any thread."""

    def __init__(self) -> None:
        self._columns = (array("Q"), array("q"), array("q"))

    @property
    def weight(self) -> int:
        """Bytes in memory, about."""
        return 40 * len(self._columns[0])

    def add(self, name: str, first: int, second: int) -> None:
        """Note the next name."""
        for column, value in zip(self._columns, (_hash(name), first, second), strict=True):
            column.append(value)

    def of(self, name: str) -> tuple[int, int] | None:
        """Return what was noted of a name, None where nothing was.

        >>> pairs = Pairs()
        >>> pairs.add("a.jpg", 512, 3)
        >>> pairs.of("a.jpg"), pairs.of("b.jpg")
        ((512, 3), None)
        """
        hashes, order = self._sorted
        wanted = _hash(name)
        place = int(np.searchsorted(hashes, np.uint64(wanted)))
        if place == len(hashes) or int(hashes[place]) != wanted:
            return None
        row = int(order[place])
        return self._columns[1][row], self._columns[2][row]

    @cached_property
    def _sorted(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """The hashes in order, and where each stood; equal ones as they came."""
        hashes = np.array(self._columns[0], dtype=np.uint64)
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
