"""Where a cache lies while it is written: a folder here; `bucket.py` has the other kind."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout
from zarr.abc.store import Store

from clipcache.cache.layout import LOCK, META
from clipcache.cache.store import DurableStore, in_room
from clipcache.durable import flush, write_file
from clipcache.errors import CacheError, CacheLockedError
from clipcache.images.roots import Place, place_of

PARTIAL = ".partial"
"""How the names of files end while they are written."""


class Storage(Protocol):
    """A place for one cache, with a few small files of ours beside what Zarr keeps there."""

    @property
    def place(self) -> Place:
        """Name the place."""
        ...

    def zarr(self) -> Store:
        """Return what Zarr reads and writes."""
        ...

    def begun(self) -> bool:
        """Whether there is a Zarr group already."""
        ...

    def prepare(self) -> None:
        """Make room for a cache; CacheError where there is something else."""
        ...

    def sweep(self) -> None:
        """Delete what writes that were cut off have left."""
        ...

    def files(self, begins: str) -> list[str]:
        """Return the names of our small files that begin so, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Return one of them."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Keep one, whole or not at all."""
        ...

    def delete(self, name: str) -> None:
        """Forget one, which may not be there."""
        ...

    def take(self, name: str, *, wait: bool = False) -> AbstractContextManager[None]:
        """Hold a lock, which ends with this process at the latest; CacheLockedError if taken."""
        ...

    def held(self, name: str) -> bool:
        """Whether somebody holds a lock."""
        ...

    def check(self) -> None:
        """Raise CacheLockedError where a lock that this process had was lost."""
        ...


class Folder:
    """A folder of this machine, or one that several share."""

    def __init__(self, path: Path) -> None:
        self.place = path
        self._path = path

    def zarr(self) -> Store:
        """Return a store that flushes."""
        return DurableStore(self._path)

    def begun(self) -> bool:
        """Whether there is a Zarr group already."""
        return (self._path / META).exists()

    def prepare(self) -> None:
        """Make the folder; CacheError where there is something else."""
        path = self._path
        if path.is_file():
            raise CacheError(f"{path} is a file; a cache is a folder: name another place")
        if path.is_dir() and not self.begun():
            # A kill during the very first write leaves no more than locks and a partial file.
            found = (e for e in path.iterdir() if e.suffix != PARTIAL)
            others = [e.name for e in found if not e.name.startswith(LOCK)]
            if others:
                raise CacheError(
                    f"{path} is a folder with other things in it ({others[0]}, ...), not a cache; "
                    "name another place"
                )
        path.mkdir(parents=True, exist_ok=True)
        flush(path)

    def sweep(self) -> None:
        """Delete partial files."""
        for leftover in self._path.rglob(f"*{PARTIAL}"):
            leftover.unlink()

    def files(self, begins: str) -> list[str]:
        """Return the names of files that begin so, without those that were cut off."""
        found = self._path.glob(f"{begins}*")
        return sorted(file.name for file in found if file.suffix != PARTIAL)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return (self._path / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Write a file and flush it."""
        with in_room(self._path / name):
            write_file(self._path / name, data)

    def delete(self, name: str) -> None:
        """Delete a file, which may not be there."""
        (self._path / name).unlink(missing_ok=True)

    @contextmanager
    def take(self, name: str, *, wait: bool = False) -> Iterator[None]:
        """Hold a lock of the system, which dies with the process."""
        try:
            with FileLock(self._path / name, timeout=-1 if wait else 0):
                yield
        except Timeout:
            raise CacheLockedError(
                f"another process is writing {self._path}; wait for it, or stop it and run this "
                "again"
            ) from None

    def check(self) -> None:
        """Do nothing: nobody can take a lock of the system away."""

    def held(self, name: str) -> bool:
        """Whether somebody holds a lock."""
        try:
            with FileLock(self._path / name, timeout=0):
                return False
        except Timeout:
            return True


def storage_of(named: Place) -> Storage:
    """Return the place that a path or the URL of a bucket names."""
    place = place_of(named)
    if isinstance(place, Path):
        return Folder(place)
    from clipcache.cache.bucket import Bucket  # obstore is an optional download

    return Bucket(place)
