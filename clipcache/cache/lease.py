"""A lock in a bucket: an object that only one process can make, and that its holder renews.

It is made, renewed and taken over by conditional puts, of which the cloud lets one succeed. A lock
that was not renewed for long, by the cloud's own clock, may be taken over; at once where its holder
was a process of this machine that is gone.
"""

import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple
from uuid import uuid4

from clipcache.cache.layout import LOCK
from clipcache.errors import CacheError, CacheLockedError, SourceError
from clipcache.objects import Found, Objects, Version

RENEWED = 20.0
"""Seconds after which a holder says again that it is there."""
SOON = 2.0
"""Seconds after which it tries again where it could not."""
DEAD = 120.0
"""Seconds without that after which a holder is taken for dead."""
TIMEOUT = "15s"
"""For an answer about a lock, which is a few bytes."""
PROBE = f"{LOCK}."
"""How the names of objects begin that only tell the time."""

_held: set[str] = set()
"""The leases that this process holds. One that could not be freed is nobody's."""


class Lock(NamedTuple):
    """A lock as it was found."""

    holder: dict[str, str]
    """Nothing for a lock that was given up, or that came with a folder copied into the bucket."""
    found: Found


class Lease:
    """One lock, which this process has or would like to have."""

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects, self._name = objects, name
        self._id = uuid4().hex
        self._version: Version | None = None
        self._renewed = 0.0
        self._ended = Event()
        self._renewing = Thread(target=self._renew, name="renew", daemon=True)

    def take(self) -> bool:
        """Make the lock, or take over a dead one, and hold it; False where somebody has it.

        Raises CacheError where the store puts what it should not, so that nobody can have a lock.
        """
        began = _seconds()
        _held.add(self._id)  # before another thread can see the lock
        try:
            version = self._objects.put(self._name, self._me(), new=True) or self._take_over()
            self._version = self._tried(version) if version else None
        finally:
            if not self._version:
                _held.discard(self._id)
        if not self._version:
            return False
        self._renewed = began
        self._renewing.start()
        return True

    def free(self) -> None:
        """Give the lock up, unless it was lost; without a network it dies by itself.

        An empty lock is nobody's. It stays, for deleting has no condition, and a delete that comes
        late would hit the next holder's.
        """
        self._ended.set()
        self._renewing.join()
        try:
            with suppress(SourceError, PermissionError):
                if self._version and not self._empty(self._version) and (mine := self._mine()):
                    self._empty(mine)
        finally:
            _held.discard(self._id)

    def check(self) -> None:
        """Raise CacheLockedError where the lock was lost, or may be."""
        if not self._version or _seconds() - self._renewed > DEAD - RENEWED:
            raise CacheLockedError(
                f"this process could not renew its lock on {self._objects.url} in time, and "
                "another may write there now; what is finished is kept: run this again"
            )

    def held(self) -> bool:
        """Whether somebody has the lock, and is alive as far as can be told."""
        lock = self._look()
        return lock is not None and not self._is_dead(lock)

    def holder(self) -> str | None:
        """Return in words who has the lock; None where nobody has it."""
        if not (lock := self._look()):
            return None
        known = lock.holder
        return f"process {known['pid']} on {known['host']}" if known else None

    def _tried(self, version: Version) -> Version | None:
        """Renew the lock, and return its version when what must not be put was not; None: lost."""
        now = self._put(version)
        if now and (
            self._objects.put(self._name, self._me(), new=True)
            or self._objects.put(self._name, self._me(), instead_of=version)
        ):
            self._objects.put(self._name, b"")
            raise CacheError(
                f"{self._objects.url}: this store ignores conditional writes (If-None-Match, "
                "If-Match), so two processes could write one cache; write it to a folder, or to "
                "another store"
            )
        return now

    def _take_over(self) -> Version | None:
        """Put a lock instead of one that is dead; None where there is none or it may be alive."""
        if not (lock := self._look()):
            return None
        if lock.holder.get("lease") == self._id:  # it was made, and only the answer was lost
            return lock.found.version
        return self._put(lock.found.version) if self._is_dead(lock) else None

    def _renew(self) -> None:
        """Say again and again that this process is there; a lock that was lost is left alone."""
        pause = RENEWED
        while self._version and not self._ended.wait(pause):
            began, pause = _seconds(), min(SOON, RENEWED)
            try:
                if version := self._objects.put(self._name, self._me(), instead_of=self._version):
                    self._version, self._renewed, pause = version, began, RENEWED
                else:  # if ours is there, it is of an earlier time: this does not count as renewed
                    self._version = self._mine()
            except (SourceError, PermissionError):
                continue  # the network is away: it is tried again, and `check` watches

    def _put(self, instead_of: Version) -> Version | None:
        """Put the lock instead of another; None where that is not there any more."""
        version = self._objects.put(self._name, self._me(), instead_of=instead_of)
        return version or self._mine()

    def _empty(self, instead_of: Version) -> Version | None:
        """Put an empty lock instead of another; None where that is not there any more."""
        return self._objects.put(self._name, b"", instead_of=instead_of)

    def _mine(self) -> Version | None:
        """Return the version of the lock where this process has it after all.

        A put whose answer was lost is tried again, and then finds what it did itself.
        """
        lock = self._look()
        return lock.found.version if lock and lock.holder.get("lease") == self._id else None

    def _look(self) -> Lock | None:
        """Return the lock; None where there is none."""
        try:
            data, found = self._objects.fetch(self._name)
        except FileNotFoundError:
            return None
        return Lock(_read(data), found)

    def _is_dead(self, lock: Lock) -> bool:
        """Whether the holder is gone."""
        holder = lock.holder
        gone = not holder or (
            holder["machine"] == _machine() and not _alive(int(holder["pid"]), holder["lease"])
        )
        return gone or _old(lock.found, cloud_time(self._objects))

    def _me(self) -> bytes:
        """Return what a lock says of its holder, never twice the same."""
        me = {
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "lease": self._id,
            "turn": uuid4().hex,
        }
        return json.dumps(me).encode()


def cloud_time(objects: Objects) -> float:
    """Return the time of the cloud in seconds: that of this machine may be wrong.

    0 where it cannot be told, by which nothing is old.
    """
    probe = f"{PROBE}{uuid4().hex}"
    objects.put(probe, b"now")
    try:
        return objects.head(probe).mtime_ns / 1e9
    except FileNotFoundError:  # this process slept for so long that another swept
        return 0.0
    finally:
        objects.delete(probe)


def sweep(objects: Objects) -> None:
    """Delete probes that kills have left, but for young ones, at which somebody may look."""
    probes = [found for found in objects.top() if found.key.startswith(PROBE)]
    now = cloud_time(objects) if probes else 0.0
    for probe in probes:
        if _old(probe, now):
            objects.delete(probe.key)


def _old(found: Found, now: float) -> bool:
    return now - found.mtime_ns / 1e9 > DEAD


def _seconds() -> float:
    """Return seconds since some moment, those included for which this machine slept."""
    if sys.platform == "linux":  # whose `monotonic` stands still meanwhile
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def _read(lock: bytes) -> dict[str, str]:
    """Return what a lock says."""
    try:
        found = json.loads(lock)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _machine() -> str:
    """Return what tells where process ids mean the same: containers may share a host's name."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    known = [boot.read_text().strip(), os.readlink(space)] if boot.exists() else []
    return " ".join([socket.gethostname(), *known])


def _alive(pid: int, lease: str) -> bool:
    if pid == os.getpid():
        return lease in _held
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
