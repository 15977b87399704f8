"""Zarr's stores: the local one made to survive a power cut, that of buckets to say what is wrong.

Zarr renames a finished file into place but never asks the system to flush it, so a power cut could
keep the rename and lose the bytes.
"""

import asyncio
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore, ObjectStore

from clipcache.clouds import open_store, put_at_once, told
from clipcache.durable import flush
from clipcache.errors import CacheError


@contextmanager
def in_room(path: Path) -> Iterator[None]:
    """Raise CacheError where a disk is full while something is written to `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise CacheError(
            f"there is no room left for {path}; what is finished is kept: make room, and run this "
            "again"
        ) from error


class DurableStore(LocalStore):
    """A local store that flushes each file and its folder before a write counts."""

    async def set(self, key: str, value: Buffer) -> None:
        """Write one object, then flush it and the folders that had to be made for it."""
        path = self.root / key
        new = [folder for folder in path.parents if not folder.exists()]
        with in_room(path):
            await super().set(key, value)
            for target in (path, *new):
                await asyncio.to_thread(flush, target)


class BucketStore(ObjectStore[Any]):
    """Objects below a prefix; SourceError where a cloud cannot be reached, or refuses.

    `check` is called before anything is changed, and may raise.
    """

    def __init__(self, url: str, check: Callable[[], None], *, read_only: bool = False) -> None:
        super().__init__(open_store(url), read_only=read_only)
        self._url = url
        self._check = check

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return the same store, which may be written to or not."""
        return type(self)(self._url, self._check, read_only=read_only)

    async def get(self, *what: Any, **how: Any) -> Buffer | None:
        """Return an object; None where there is none."""
        with told(self._url):
            return await super().get(*what, **how)

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        with told(self._url):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        """Put an object, whole or not at all."""
        self._check()
        self._check_writable()
        with told(self._url):
            await put_at_once(self.store, key, value.as_buffer_like())

    async def delete(self, key: str) -> None:
        """Delete an object, which may not be there."""
        self._check()
        with told(self._url):
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        """Delete all objects below a prefix."""
        self._check()
        with told(self._url):
            await super().delete_dir(prefix)
