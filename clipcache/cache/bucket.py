"""A cache below a prefix of a bucket: an object is whole or not there, and nothing is partial."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from zarr.abc.store import Store

from clipcache.cache.layout import LOCK, META
from clipcache.cache.lease import DEAD, TIMEOUT, Lease, sweep
from clipcache.cache.store import BucketStore
from clipcache.errors import CacheError, CacheLockedError
from clipcache.objects import Objects

LOOK = 2.0
"""Seconds between two looks at a lock that is waited for."""

_leases: dict[str, list[Lease]] = {}
"""The locks that this process has of each cache: threads that do chunks open it anew."""


class Bucket:
    """Objects below a prefix. What this process writes while it has locks, it writes with them."""

    def __init__(self, url: str) -> None:
        self.place = url
        self._objects = Objects(url)
        self._locks = Objects(url, TIMEOUT)
        self._leases = _leases.setdefault(url, [])

    def zarr(self) -> Store:
        """Return a store that says what is wrong."""
        return BucketStore(self.place, self.check)

    def begun(self) -> bool:
        """Whether there is a Zarr group already."""
        try:
            self._objects.head(META)
        except FileNotFoundError:
            return False
        return True

    def prepare(self) -> None:
        """Check that the prefix holds nothing else; CacheError where it does."""
        if self.begun():
            return
        for found in self._objects.list():
            if found.size and not found.key.startswith(LOCK):  # empty ones stand for folders
                raise CacheError(
                    f"{self.place} has other things in it ({found.key}, ...), not a cache; "
                    "name another place"
                )

    def sweep(self) -> None:
        """Delete what looks at locks that were cut off have left; writes leave nothing."""
        sweep(self._locks)

    def files(self, begins: str) -> list[str]:
        """Return the names of objects that begin so."""
        return sorted(self._names(begins))

    def read(self, name: str) -> bytes:
        """Return an object."""
        return self._objects.get(name)

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        self.check()
        self._objects.put(name, data)

    def delete(self, name: str) -> None:
        """Delete an object, which may not be there."""
        self.check()
        self._objects.delete(name)

    @contextmanager
    def take(self, name: str, *, wait: bool = False) -> Iterator[None]:
        """Hold a lock that is renewed in the background."""
        lease = Lease(self._locks, name)
        while not lease.take():
            if not wait and (holder := lease.holder()):
                raise CacheLockedError(
                    f"another process is writing {self.place} ({holder}); wait for it, or stop it "
                    f"and run this again, {DEAD:.0f} s later if it is on another machine"
                )
            time.sleep(LOOK)
        self._leases.append(lease)
        try:
            yield
        finally:
            self._leases.remove(lease)
            lease.free()

    def held(self, name: str) -> bool:
        """Whether somebody holds a lock, and is alive as far as can be told."""
        return Lease(self._locks, name).held()

    def check(self) -> None:
        """Raise CacheLockedError where a lock that this process had was lost."""
        for lease in tuple(self._leases):
            lease.check()

    def _names(self, begins: str) -> set[str]:
        return {found.key for found in self._objects.top() if found.key.startswith(begins)}
