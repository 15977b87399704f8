"""Zarr's local store, made to survive a power cut.

Zarr renames a finished file into place but never asks the system to flush it, so a power cut could
keep the rename and lose the bytes.
"""

import asyncio

from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

from clipcache.durable import flush


class DurableStore(LocalStore):
    """A local store that flushes each file and its folder before a write counts."""

    async def set(self, key: str, value: Buffer) -> None:
        """Write one object, then flush it and the folders that had to be made for it."""
        path = self.root / key
        new = [folder for folder in path.parents if not folder.exists()]
        await super().set(key, value)
        for target in (path, *new):
            await asyncio.to_thread(flush, target)
