"""Image files below a folder, looked at and read by key; keys are posix paths relative to it."""

import os
import stat
from pathlib import Path

from clipcache.errors import ImageError
from clipcache.images.base import MISSING, Stamp

NOT_FOUND = "file not found"


def stamp_file(root: Path, key: str) -> Stamp:
    """Return size and time of the file `key` below `root`, MISSING where it cannot be looked at."""
    try:
        found = os.stat(root / key)
    except (OSError, ValueError):  # ValueError: a NUL in the key
        return MISSING
    return Stamp(found.st_size, found.st_mtime_ns)


def read_file(root: Path, key: str) -> bytes:
    """Return the bytes of the file `key` below `root`.

    Raises ImageError with a reason that names neither the key, beside which it is stored, nor
    `root`, since the folder may move.
    """
    path = root / key
    try:
        if stat.S_ISREG(os.stat(path).st_mode):
            return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(NOT_FOUND) from None
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise ImageError("not a file name") from None
    # Reading a pipe, say, could wait for ever.
    raise ImageError("not a regular file")
