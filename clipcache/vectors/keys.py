"""What rows are called, where nobody or not everybody gave them a name of their own."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np


@dataclass(frozen=True)
class NumberKeys:
    """Row numbers, made anew by each loop."""

    count: int
    prefix: str = ""

    def __iter__(self) -> Iterator[str]:
        """Yield every key.

        >>> list(NumberKeys(2, "pool/"))
        ['pool/000000', 'pool/000001']
        """
        return (f"{self.prefix}{row:06d}" for row in range(self.count))


@dataclass(frozen=True)
class UniqueKeys:
    """Names made unique: one that is empty or occurs again gets its row number, as in `a.jpg#17`.

    8 bytes of hash a name are kept to find out, not the names.
    """

    names: Iterable[str]

    def __iter__(self) -> Iterator[str]:
        """Yield every key.

        >>> list(UniqueKeys(["a", "b", "a", ""]))
        ['a#0', 'b', 'a#2', '#3']
        """
        for row, name in enumerate(self.names):
            yield name if name and _hash(name) not in self._again else f"{name}#{row}"

    @cached_property
    def _again(self) -> frozenset[int]:
        """Hashes of the names that occur more than once."""
        hashes = np.fromiter(map(_hash, self.names), dtype=np.uint64)
        values, counts = np.unique(hashes, return_counts=True)
        return frozenset(values[counts > 1].tolist())


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")
