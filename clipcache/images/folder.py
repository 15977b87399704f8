"""Images in a folder, labelled by the names of its subfolders."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from clipcache.errors import SourceError
from clipcache.images.base import Item, Stamp
from clipcache.images.files import read_file, stamp_file
from clipcache.images.holdout import EXPECTED, split_meant

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
"""Files that end otherwise are passed over, whatever is in them; case does not matter."""


@dataclass(frozen=True)
class Folder:
    """A source: `root/cat/1.jpg` is labelled "cat", `root/1.jpg` is unlabelled.

    With `split_folders` a level for the split comes first: `root/train/cat/1.jpg`. Names that begin
    with "." are passed over, links to folders are not followed.
    """

    root: Path
    split_folders: bool = False

    def __iter__(self) -> Iterator[Item]:
        """Yield every image, folder by folder: first its files by name, then its subfolders.

        Raises SourceError where the root is not a folder that can be listed, holds no image, or
        has a folder that is not a split where one is expected.
        """
        found = False
        for key in _walk(self.root):
            found = True
            yield self._item(key)
        if not found:
            raise SourceError(
                f"no image in {self.root}: expected files ending in {', '.join(EXTENSIONS)}; "
                "check the path"
            )

    def class_names(self) -> tuple[str, ...]:
        """Return the labels that occur, sorted; the first call lists the whole folder."""
        return self._class_names

    def stamp(self, key: str) -> Stamp:
        """Return size and time of one image's file, MISSING where there is none."""
        return stamp_file(self.root, key)

    def read(self, key: str) -> bytes:
        """Return the bytes of one image's file; raise ImageError where they cannot be read."""
        return read_file(self.root, key)

    @cached_property
    def _class_names(self) -> tuple[str, ...]:
        """All labels, remembered: make a new source where the files have changed."""
        return tuple(sorted({item.label for item in self if item.label is not None}))

    def _item(self, key: str) -> Item:
        """Return the image with the split and label that the folders above it say."""
        above = key.split("/")[:-1]
        split = self._split(above.pop(0)) if self.split_folders and above else "pool"
        return Item(key, above[0] if above else None, split)

    def _split(self, name: str) -> str:
        """Return the split that a folder right below the root stands for."""
        split = split_meant(name)
        if split is None:
            raise SourceError(
                f"the folder {name!r} in {self.root} is not a split: expected {EXPECTED}; "
                "rename it, or leave out the split level"
            )
        return split


def _walk(root: Path) -> Iterator[str]:
    """Yield the keys of all image files below `root`, holding one listing at a time."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        files, folders = _listing(root, above)
        waiting.extend(f"{above}{name}/" for name in reversed(folders))
        yield from (above + name for name in files)


def _listing(root: Path, above: str) -> tuple[list[str], list[str]]:
    """Return the names of the image files and of the folders right in `root/above`, each sorted."""
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(root / above) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(_checked(entry.name, root / above))
                # A link that leads nowhere is an image that is missing, not one that never was.
                elif entry.name.lower().endswith(EXTENSIONS) and not entry.is_dir():
                    files.append(_checked(entry.name, root / above))
    except OSError as error:
        raise SourceError(
            f"cannot list {root / above} ({error.strerror}): expected a folder of images; "
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
