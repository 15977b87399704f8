"""What is where in a tar: its headers, read one after the other, and the labels beside images.

The layout is that of webdataset: the files of a sample have the same name up to the first dot of
their last part, and follow each other.
"""

import json
import os
import posixpath
import re
import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, BinaryIO, NamedTuple

from clipcache.errors import SourceError
from clipcache.images.folder import EXTENSIONS

BLOCK = 512
"""Bytes of a tar's header."""
NOTES = (".cls", ".json")
"""What may hold the label of a sample; the first that does counts."""
LARGEST_NOTE = 1 << 20
"""Bytes of a note; more is no label."""
NOT_HERE = -1
"""The start of an image whose bytes the tar does not hold: a link, or a file with holes."""
BROKEN = (tarfile.TarError, ValueError, OverflowError, IndexError, MemoryError, RecursionError)
"""What tarfile raises for a header: its own errors, and others where a number is impossible."""
MOST = (1 << 63) - 1
"""Bytes that a file can have."""

Label = str | int | None


class Member(NamedTuple):
    """One image of a tar."""

    name: str
    start: int
    """Where its bytes begin; NOT_HERE where they do not lie in one piece."""
    size: int
    label: Label


def scan(file: BinaryIO, where: str) -> Iterator[Member]:
    """Yield every image of a tar, in its order; those last that it was cut off in included.

    Raises SourceError naming `where` for what is no tar, is damaged in the middle, has a label that
    is none or could be that of several samples, or labels far from their images.
    """
    labelled = lonely = 0
    for _, sample in groupby(_files(file, where), key=lambda info: _stem(info.name)):
        images: list[tarfile.TarInfo] = []
        notes: dict[str, dict[str, Label]] = {}
        for info in sample:
            ending = os.path.splitext(info.name)[1].lower()
            if ending in EXTENSIONS:
                images.append(info)
            elif ending in NOTES and info.isreg() and info.size <= LARGEST_NOTE:
                notes.setdefault(ending, {})[info.name] = _note(file, info, where)
        label = _label(images, notes, where)
        labelled += len(images) if label is not None else 0
        lonely += ".cls" in notes and not images
        yield from (_member(info, label) for info in images)
    if lonely and not labelled:
        raise SourceError(
            f"{where} has {lonely} .cls files, none right before or behind its image: pack it "
            "anew with `tar --sort=name`, so that the files of a sample follow each other"
        )


def _files(file: BinaryIO, where: str) -> Iterator[tarfile.TarInfo]:
    """Yield what is in the tar but folders and hidden files, under a plain relative name."""
    for info in _headers(file, where):
        info.name = posixpath.normpath(info.name).lstrip("/")
        try:
            info.name.encode()
        except UnicodeEncodeError:
            raise SourceError(f"the name {info.name!r} in {where} is not valid UTF-8") from None
        if not info.isdir() and not info.name.startswith(".") and "/." not in info.name:
            yield info


def _headers(file: BinaryIO, where: str) -> Iterator[tarfile.TarInfo]:
    """Yield the headers as far as the tar is whole; SourceError for one that is damaged."""
    total = file.seek(0, os.SEEK_END)
    file.seek(0)
    try:
        tar: Any = tarfile.open(  # noqa: SIM115  # the file is its caller's
            fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape"
        )
    except BROKEN as error:
        said = _said(error)
        raise SourceError(f"{where} is no tar ({said}): is it compressed, or no tar?") from error
    end = 0
    try:
        # A forged size must not lead back, where the same headers would be read for ever.
        while (info := tar.next()) and tar.offset > end and 0 <= info.size <= MOST:
            tar.members.clear()  # it would keep them all
            end = tar.offset
            yield info
    except BROKEN as error:
        if file.tell() < total:
            raise SourceError(f"{where} is damaged ({_said(error)}): make it anew") from error
        return  # cut off
    file.seek(end)
    if any(file.read(BLOCK).ljust(BLOCK, b"\0")) and end + BLOCK <= total:
        raise SourceError(f"{where} is damaged at byte {end:,}: make it anew")


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__  # a MemoryError says nothing


def _member(info: tarfile.TarInfo, label: Label) -> Member:
    here = info.isreg() and not info.issparse()
    return Member(info.name, info.offset_data if here else NOT_HERE, info.size, label)


def _stem(name: str) -> str:
    """Return what the files of a sample share: `a/b.c/1` for `a/b.c/1.seg.png`."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


def _label(images: list[tarfile.TarInfo], notes: dict[str, dict[str, Label]], where: str) -> Label:
    """Return the label of a sample; SourceError where a note would label what is another's.

    Up to the first dot `photo.0001.png` and `photo.0002.png` have the same name, so that they are
    one sample to whoever reads tars as webdataset does.
    """
    for ending in NOTES:
        said = {name: label for name, label in notes.get(ending, {}).items() if label is not None}
        if said and images:
            one, label = next(iter(said.items()))
            other = next((name for name in said if said[name] != label), _stranger(images, said))
            if other is None:
                return label
            raise SourceError(
                f"{where} has {one} and {other}, whose names are the same up to the first dot, so "
                "that both would have one label: rename the files, so that only the ending comes "
                "after the first dot"
            )
    return None


def _stranger(images: list[tarfile.TarInfo], notes: Iterable[str]) -> str | None:
    """Return an image that no note belongs to by its whole name, where one does to another."""
    owners = {os.path.splitext(note)[0] for note in notes}
    strange = [
        info.name
        for info in images
        if not any(info.name[: dot.start()] in owners for dot in re.finditer(r"\.|\Z", info.name))
    ]
    return strange[0] if 0 < len(strange) < len(images) else None


def _note(file: BinaryIO, info: tarfile.TarInfo, where: str) -> Label:
    """Return the label that a .cls or .json holds, None where it holds none or is cut off."""
    file.seek(info.offset_data)
    data = file.read(info.size)
    if len(data) < info.size:
        return None
    try:
        if info.name.lower().endswith(".cls"):
            return data.decode("utf-8-sig").strip() or None
        note = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}/{info.name} is not what it is called ({error})") from error
    label = note.get("label") if isinstance(note, dict) else None
    if label is not None and type(label) not in (str, int):
        raise SourceError(
            f'{where}/{info.name} has "label": {repr(label)[:80]}; expected text or a number: pack '
            'it anew with one, or call what is no class something else than "label"'
        )
    return label
