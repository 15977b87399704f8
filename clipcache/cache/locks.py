"""Who may change a cache: one process alone, or several that have a share of the chunks each.

Locks die with the process that holds them. `.lock` is held by whoever changes the listing; a
process with a share has a lock of its own besides, holds `.lock` only until all is listed, and
leaves the listing alone while others are at work.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

from clipcache.cache.layout import LOCK
from clipcache.cache.storage import Storage
from clipcache.errors import CacheError, CacheLockedError


@dataclass(frozen=True)
class Share:
    """The chunks that one of `count` processes does: each `count`-th one, from chunk `place` on."""

    place: int
    """In [0, count)."""
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "I/N", where I counts from 0; CacheError where that is no share.

        >>> Share.parse("2/8")
        Share(place=2, count=8)
        """
        place, slash, count = text.partition("/")
        if slash and place.isdecimal() and count.isdecimal() and int(place) < int(count):
            return cls(int(place), int(count))
        raise CacheError(
            f"--shard {text} is no share: expected I/N with I from 0 to N-1, as in 0/4"
        )

    def has(self, chunk: int) -> bool:
        """Whether a chunk is in the share."""
        return chunk % self.count == self.place


WHOLE = Share(0, 1)


class Hold:
    """What a process holds of a cache."""

    def __init__(self, storage: Storage, share: Share, listing: ExitStack) -> None:
        self._storage = storage
        self._share = share
        self._listing = listing

    def alone(self) -> bool:
        """Whether nobody else is writing.

        Raises CacheLockedError where somebody is who divides the chunks in another way.
        """
        names = self._storage.files(f"{LOCK}-")
        others = [Share(*map(int, found)) for found in map(_numbers, names) if found]
        held = [o for o in others if o != self._share and self._storage.held(_name(o))]
        for other in held:
            if other.count != self._share.count:
                raise CacheLockedError(
                    f"another process is doing share {other.place} of {other.count} of "
                    f"{self._storage.place}; wait for it, or divide it as it does"
                )
        return not held

    def refuse_others(self) -> None:
        """Raise CacheLockedError where others are at work, whom a new listing would confuse."""
        if not self.alone():
            raise CacheLockedError(
                f"{self._storage.place} would get another listing while other shares of it are "
                "being done; give each of them the same source and options, or wait for them"
            )

    def let_others_list(self) -> None:
        """Give the listing free, where this is one of several shares."""
        if self._share != WHOLE:
            self._listing.close()


@contextmanager
def hold(storage: Storage, share: Share = WHOLE) -> Iterator[Hold]:
    """Hold a cache, or a share of it, which waits for others to list.

    Raises CacheLockedError where another process has it.
    """
    with ExitStack() as own, ExitStack() as listing:
        listing.enter_context(storage.take(LOCK, wait=share != WHOLE))
        if share != WHOLE:  # not before, or whoever lists would see everybody who waits at work
            own.enter_context(storage.take(_name(share)))
        found = Hold(storage, share, listing)
        found.alone()
        yield found


def _name(share: Share) -> str:
    return f"{LOCK}-{share.place}-of-{share.count}"


def _numbers(name: str) -> tuple[str, ...]:
    """Return place and count of the share whose lock this is; nothing where it is none."""
    found = re.fullmatch(rf"{re.escape(LOCK)}-(\d+)-of-(\d+)", name)
    return found.groups() if found else ()
