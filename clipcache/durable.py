"""Files that are whole and on disk when the call returns, or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def flush(path: Path) -> None:
    """Ask the system to put a file and its entry in the folder on disk."""
    for target in (path, path.parent):
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a passing name to write to; what is there at the end takes the place of `path`.

    After an error, nothing has changed and nothing is left.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        flush(partial)
        partial.replace(path)
        flush(path)
    finally:
        partial.unlink(missing_ok=True)


def write_file(path: Path, data: bytes) -> None:
    """Write a file under a passing name, flush it and move it into place."""
    with whole_file(path) as partial:
        partial.write_bytes(data)
