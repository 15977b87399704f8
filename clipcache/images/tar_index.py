"""What is where in a tar: its headers, read one after the other, and the labels beside images.

The layout is that of webdataset: the files of a sample have the same name up to the first dot of
their last part, and follow each other.
"""

import json
import os
import posixpath
import tarfile
from collections.abc import Iterator
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
    is none, or labels far from their images.
    """
    labelled = lonely = 0
    for _, sample in groupby(_files(file, where), key=lambda info: _stem(info.name)):
        images: list[tarfile.TarInfo] = []
        notes: dict[str, Label] = {}
        for info in sample:
            ending = os.path.splitext(info.name)[1].lower()
            if ending in EXTENSIONS:
                images.append(info)
            elif ending in NOTES and info.isreg() and info.size <= LARGEST_NOTE:
                notes[ending] = _note(file, info, where)
        label = next((notes[n] for n in NOTES if notes.get(n) is not None), None)
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
    except tarfile.TarError as error:
        raise SourceError(f"{where} is no tar ({error}): is it compressed, or no tar?") from error
    try:
        while info := tar.next():
            tar.members.clear()  # it would keep them all
            yield info
    except tarfile.TarError as error:
        if file.tell() < total:
            raise SourceError(f"{where} is damaged ({error}): make it anew") from error
        return  # cut off
    file.seek(tar.offset)
    if any(file.read(BLOCK).ljust(BLOCK, b"\0")) and tar.offset + BLOCK <= total:
        raise SourceError(f"{where} is damaged at byte {tar.offset:,}: make it anew")


def _member(info: tarfile.TarInfo, label: Label) -> Member:
    here = info.isreg() and not info.issparse()
    return Member(info.name, info.offset_data if here else NOT_HERE, info.size, label)


def _stem(name: str) -> str:
    """Return what the files of a sample share: `a/b.c/1` for `a/b.c/1.seg.png`."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(".")[0]


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
    except ValueError as error:
        raise SourceError(f"{where}/{info.name} is not what it is called ({error})") from error
    label = note.get("label") if isinstance(note, dict) else None
    if label is not None and type(label) not in (str, int):
        raise SourceError(f'{where}/{info.name} has "label": {label!r}; expected text or a number')
    return label
