"""Copies of caches that lie in buckets: a round reads the pool again and again, from a disk.

A copy is brought up to date whenever its cache is opened. Only objects whose tags have changed are
fetched, and those of a cache that is being written are fetched anew until nothing changes, or else
its seals tell.

Copies lie in `clipcache/copies` in the user's cache folder: in ~/.cache on Linux, unless
XDG_CACHE_HOME names another one. They stay when their caches are gone. The folder may be deleted at
any time: what is needed is fetched anew, and a command that misses it just then says so and ends.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from clipcache.cache.layout import META
from clipcache.cache.store import in_room
from clipcache.durable import write_file
from clipcache.errors import CacheError
from clipcache.objects import Objects

TAGS = ".tags.json"
"""What the copy holds, by the tags that the objects had."""
THREADS = 16
TOGETHER = 512
"""Objects that are fetched before the tags are written; a kill costs as many."""
TRIES = 3
"""How often a cache that changes meanwhile is fetched."""


def copy_of(url: str, *, anew: bool = False) -> Path | None:
    """Return the folder with an up-to-date copy of a cache in a bucket; None where there is none.

    With `anew` everything is fetched, whatever is there.

    Raises SourceError where the bucket cannot be read, CacheError where the disk is full.
    """
    try:  # before anything is fetched: a prefix may hold terabytes that are no cache
        Objects(url).head(META)
    except FileNotFoundError:
        return None
    name = hashlib.sha256(url.encode()).hexdigest()[:16]
    folder = user_cache_path("clipcache") / "copies" / name
    try:
        with in_room(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / ".lock"):
                objects = Objects(url)
                for turn in range(TRIES):
                    if not _update(folder, objects, anew=anew and not turn):
                        break
    except CacheError as error:
        raise CacheError(f"{error}; XDG_CACHE_HOME moves copies to another disk") from error
    return folder


def _update(folder: Path, objects: Objects, *, anew: bool) -> bool:
    """Fetch what is new, delete what is gone; return whether there was anything."""
    tags = folder / TAGS
    have: dict[str, str] = json.loads(tags.read_bytes()) if tags.exists() else {}
    if anew:  # whatever lies there, and nothing of it as it should be
        have = dict.fromkeys(_keys(folder), "")
    want: dict[str, str] = {}
    kept: dict[str, str] = {}
    for found in objects.list():
        if found.key.startswith(".") or not found.size:  # empty ones stand for folders
            continue
        want[found.key] = found.tag
        if have.get(found.key) == found.tag and _size(folder / found.key) == found.size:
            kept[found.key] = found.tag
    changed = [key for key in want if key not in kept]
    gone = have.keys() - want.keys()
    if not changed and not gone:
        return False
    write_file(tags, json.dumps(kept).encode())  # a kill must not leave tags of what is half there
    for key in gone:
        (folder / key).unlink(missing_ok=True)
    with ThreadPoolExecutor(THREADS) as threads:
        for start in range(0, len(changed), TOGETHER):
            part = changed[start : start + TOGETHER]
            there = list(threads.map(lambda key: _fetch(folder, objects, key), part))
            kept |= {key: want[key] for key, found in zip(part, there, strict=True) if found}
            write_file(tags, json.dumps(kept).encode())
    return True


def _keys(folder: Path) -> list[str]:
    """Return what a copy holds, whether its tags know of it or not."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [key for key in files if not key.startswith(".")]


def _size(path: Path) -> int:
    """Return the size of a file, -1 where it is gone, as what tidies up takes files away."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _fetch(folder: Path, objects: Objects, key: str) -> bool:
    """Copy an object; False where it is gone meanwhile, as when it is written anew."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        data = objects.get(key)
    except FileNotFoundError:
        path.unlink(missing_ok=True)
        return False
    write_file(path, data)
    return True
