"""A root with files: a folder of this machine, or a prefix of a bucket."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from clipcache.clouds import CLOUDS, is_object_url
from clipcache.images.base import Stamp
from clipcache.images.bucket import Bucket
from clipcache.images.files import Files

Place = Path | str
"""A path of this machine, or the URL of something in a bucket."""

MANGLED = re.compile(rf"({'|'.join(CLOUDS)}):/(?=[^/])")
"""What `Path` makes of the beginning of a URL."""


class Root(Protocol):
    """Files by key; any thread may ask, and a copy in another process answers the same."""

    def check(self) -> None:
        """Raise SourceError where there is no such root."""
        ...

    def walk(self, endings: tuple[str, ...]) -> Iterator[str]:
        """Yield the keys of all files whose names end so in any case, in an order that stays.

        Names that begin with "." are passed over. Raises SourceError.
        """
        ...

    def survey(self) -> None:
        """Prepare to be asked for the stamps of most files."""
        ...

    def stamp(self, key: str) -> Stamp:
        """Return size and time of a file, MISSING where there is none."""
        ...

    def read(self, key: str) -> bytes:
        """Return the bytes of a file; ImageError where it cannot be read."""
        ...

    def read_part(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` on, fewer at the file's end; ImageError as `read`."""
        ...

    def open(self, key: str, buffer: int) -> BinaryIO:
        """Return a file, open for reading; a request, where it takes any, is for `buffer` bytes.

        Raises OSError with a `strerror` where it cannot be opened.
        """
        ...


def root_of(place: Place) -> Root:
    """Return the root at a place."""
    return Bucket(place) if isinstance(place, str) else Files(place)


def place_of(named: Place) -> Place:
    """Return what a user named as a URL where it is one, else as a path.

    >>> place_of("s3://photos/2024/"), place_of(Path("s3://photos/2024"))
    ('s3://photos/2024', 's3://photos/2024')
    """
    text = MANGLED.sub(r"\1://", str(named), count=1)
    return text.rstrip("/") if is_object_url(text) else Path(named)


def parted(place: Place) -> tuple[Place, str]:
    """Return the place above, and the name of what is there.

    >>> parted("s3://photos/2024/a.tar")
    ('s3://photos/2024', 'a.tar')
    """
    if isinstance(place, Path):
        return place.parent, place.name
    above, _, name = place.rpartition("/")
    return above, name


def ending_of(place: Place) -> str:
    """Return the ending of the place's name in small letters, such as ".csv"."""
    return PurePosixPath(parted(place)[1]).suffix.lower()
