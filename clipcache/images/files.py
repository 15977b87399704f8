"""Files below a folder, listed, looked at and read by key; keys are posix paths relative to it."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clipcache.errors import ImageError, SourceError
from clipcache.images.base import MISSING, PassingError, Stamp

NOT_FOUND = "file not found"


@dataclass(frozen=True)
class Files:
    """The files of this machine below `root`: a Root, see roots.py."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def check(self) -> None:
        """Raise SourceError where `root` is no folder."""
        if not self.root.is_dir():
            raise SourceError(f"no folder {self.root}: expected the one that holds the images")

    def walk(self, endings: tuple[str, ...]) -> Iterator[str]:
        """Yield the keys of all files that end so: first the files of a folder, then its folders.

        Links to folders are not followed. One folder's listing at a time is in memory. Raises
        SourceError where a folder cannot be listed, or a name is no text.
        """
        waiting = [""]
        while waiting:
            above = waiting.pop()
            files, folders = _listing(self.root, above, endings)
            waiting.extend(f"{above}{name}/" for name in reversed(folders))
            yield from (above + name for name in files)

    def survey(self) -> None:
        """Do nothing: a look at a file costs nothing here."""

    def stamp(self, key: str) -> Stamp:
        """Return size and time of a file, MISSING where it cannot be looked at."""
        return stamp_file(self.root, key)

    def read(self, key: str) -> bytes:
        """Return the bytes of a file; ImageError as `read_file`."""
        return read_file(self.root, key)

    def read_part(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` on, fewer at the file's end; ImageError as `read`."""
        try:
            with (self.root / key).open("rb", buffering=0) as file:
                file.seek(start)
                parts = []
                while length and (part := file.read(length)):
                    parts.append(part)
                    length -= len(part)
                return b"".join(parts)
        except FileNotFoundError:
            raise ImageError(NOT_FOUND) from None
        except OSError as error:
            raise _unreadable(error) from None

    def open(self, key: str, buffer: int) -> BinaryIO:
        """Return a file, open for reading; OSError. `buffer` is for roots where requests cost."""
        return (self.root / key).open("rb")


def stamp_file(root: Path, key: str) -> Stamp:
    """Return size and time of the file `key` below `root`, MISSING where it cannot be looked at."""
    try:
        found = os.stat(os.path.join(root, key))  # faster than with `/`
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
        raise _unreadable(error) from None
    except ValueError:
        raise ImageError("not a file name") from None
    # Reading a pipe, say, could wait for ever.
    raise ImageError("not a regular file")


def _unreadable(error: OSError) -> PassingError:
    """Rights can be given and disks come back, which no stamp of the file tells."""
    return PassingError(f"cannot be read ({error.strerror})")


def _listing(root: Path, above: str, endings: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return the names of the files and of the folders right in `root/above`, each sorted."""
    files: list[str] = []
    folders: list[str] = []
    here = root / above  # made once: a path for each name takes longer than the listing
    try:
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(_checked(entry.name, here))
                # A link that leads nowhere is an image that is missing, not one that never was.
                elif entry.name.lower().endswith(endings) and not entry.is_dir():
                    files.append(_checked(entry.name, here))
    except OSError as error:
        raise SourceError(
            f"cannot list {here} ({error.strerror}): expected a folder of images; "
            "check the path and the permissions"
        ) from error
    return sorted(files), sorted(folders)


def _checked(name: str, folder: Path) -> str:
    """Return a file name after checking that it can be stored as text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise SourceError(
            f"the file name {name!r} in {str(folder)!r} is not valid UTF-8: rename it"
        ) from None
    return name
