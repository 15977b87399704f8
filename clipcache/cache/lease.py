"""A lock in a bucket: an object that only one process can make, and that its holder renews.

It is made, renewed and taken over by conditional puts, of which the cloud lets one succeed. A lock
that was not renewed for long, by the cloud's own clock, may be taken over; at once where its holder
was a process of this machine that is gone.
"""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

from clipcache.errors import CacheLockedError, SourceError
from clipcache.objects import Objects

RENEWED = 20.0
"""Seconds after which a holder says again that it is there."""
DEAD = 120.0
"""Seconds without that after which a holder is taken for dead."""

_held: set[str] = set()
"""The leases that this process holds. One that could not be freed is nobody's."""


class Lease:
    """One lock, which this process has or would like to have."""

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects, self._name = objects, name
        self._id = uuid4().hex
        self._tag: str | None = None
        self._renewed = 0.0
        self._ended = Event()
        self._renewing = Thread(target=self._renew, name="renew", daemon=True)

    def take(self) -> bool:
        """Make the lock, or take over a dead one, and hold it; False where somebody has it."""
        tag = self._objects.put(self._name, self._me(), new=True)
        if tag is None and (dead := self._dead()):
            tag = self._objects.put(self._name, self._me(), instead_of=dead)
        if tag is None:
            return False
        self._tag, self._renewed = tag, time.monotonic()
        _held.add(self._id)
        self._renewing.start()
        return True

    def free(self) -> None:
        """Give the lock up, unless it was lost; without a network it dies by itself."""
        self._ended.set()
        self._renewing.join()
        _held.discard(self._id)
        with suppress(SourceError):
            if self._tag and self._objects.put(self._name, self._me(), instead_of=self._tag):
                self._objects.delete(self._name)

    def check(self) -> None:
        """Raise CacheLockedError where the lock was lost, or may be."""
        if not self._tag or time.monotonic() - self._renewed > DEAD - RENEWED:
            raise CacheLockedError(
                f"this process could not renew its lock on {self._objects.url} in time, and "
                "another may write there now; what is finished is kept: run this again"
            )

    def held(self) -> bool:
        """Whether somebody has the lock, and is alive as far as can be told."""
        return self.holder() is not None and self._dead() is None

    def holder(self) -> str | None:
        """Return in words who has the lock; None where nobody has it."""
        try:
            holder = _read(self._objects.get(self._name))
        except FileNotFoundError:
            return None
        return f"process {holder['pid']} on {holder['host']}" if holder else "nobody knows who"

    def _renew(self) -> None:
        """Say again and again that this process is there; a lock that was lost is left alone."""
        while self._tag and not self._ended.wait(RENEWED):
            began = time.monotonic()
            try:
                self._tag = self._objects.put(self._name, self._me(), instead_of=self._tag)
            except SourceError:  # the network is away: it is tried again, and `check` watches
                continue
            self._renewed = began

    def _dead(self) -> str | None:
        """Return the tag of a lock whose holder is gone; None where it may be alive."""
        try:
            found = self._objects.head(self._name)
            holder = _read(self._objects.get(self._name))
        except FileNotFoundError:
            return None
        gone = not holder or (
            holder["machine"] == _machine() and not _alive(int(holder["pid"]), holder["lease"])
        )
        return found.tag if gone or self._now() - found.mtime_ns / 1e9 > DEAD else None

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

    def _now(self) -> float:
        """Return the time of the cloud in seconds: that of this machine may be wrong."""
        probe = f"{self._name}.{uuid4().hex}"
        self._objects.put(probe, b"now")
        try:
            return self._objects.head(probe).mtime_ns / 1e9
        finally:
            self._objects.delete(probe)


def _read(lock: bytes) -> dict[str, str] | None:
    """Return what a lock says; None for a file that came with a folder copied into the bucket."""
    try:
        found: dict[str, str] = json.loads(lock)
    except ValueError:
        return None
    return found


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
