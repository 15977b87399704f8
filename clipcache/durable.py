"""Files that are whole and on disk when the call returns, or not there at all."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Ask the system to put a file and its entry in the folder on disk."""
    for target in (path, path.parent):
        handle = os.open(target, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_file(path: Path, data: bytes) -> None:
    """Write a file under a passing name, flush it and move it into place."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    flush(partial)
    partial.replace(path)
    flush(path)
