"""Objects in a bucket: listed, read and written, with what goes wrong told in one line."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from clipcache.clouds import TIMEOUT, about, need_obstore, open_store, refuse, told

PAGE = 1000
"""Objects listed by a request; no cloud gives more."""


class Version(NamedTuple):
    """Which bytes an object has: what a conditional put is about."""

    tag: str
    """Another one for other bytes."""
    number: str | None
    """What Google Cloud Storage goes by instead; its listings and most other clouds tell none."""


class Found(NamedTuple):
    """What a cloud says of an object."""

    key: str
    """Its path below the prefix."""
    size: int
    mtime_ns: int
    version: Version

    @property
    def tag(self) -> str:
        """Another one for other bytes."""
        return self.version.tag


@dataclass(frozen=True)
class Objects:
    """What lies below a prefix. Any thread may use it; a copy connects anew."""

    url: str
    timeout: str = TIMEOUT
    """How long a whole answer may take, as in "15s"."""

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url, "timeout": self.timeout}  # a store holds sockets and credentials

    def list(self) -> Iterator[Found]:
        """Yield every object, in the cloud's order; SourceError where they cannot be listed."""
        library, store = self._obstore, self._store
        try:
            for page in library.list(store, chunk_size=PAGE):
                for meta in page:
                    yield _found(meta)
        except (FileNotFoundError, library.exceptions.BaseError) as error:
            refuse(error, self.url)

    def head(self, key: str) -> Found:
        """Return size and time of one object; errors as in `get`."""
        return _found(self._ask("head", key))

    def get(self, key: str) -> bytes:
        """Return the bytes of one object.

        Raises FileNotFoundError where there is none, PermissionError where this one may not be
        read, SourceError where none can be read.
        """
        return self.fetch(key)[0]

    def fetch(self, key: str) -> tuple[bytes, Found]:
        """Return the bytes of one object and what goes with just these; errors as in `get`."""
        answer = self._ask("get", key)
        with told(self.url):
            return bytes(answer.bytes()), _found(answer.meta)

    def put(
        self, key: str, data: bytes, *, new: bool = False, instead_of: Version | None = None
    ) -> Version | None:
        """Put one object and return its version.

        None where the condition does not hold and nothing is put: that it is `new`, or that the one
        that is there is `instead_of`. Raises SourceError where it cannot be put.
        """
        library, store = self._obstore, self._store
        mode: Any = "create" if new else "overwrite"
        if instead_of:
            known = {"e_tag": instead_of.tag, "version": instead_of.number}
            mode = {name: value for name, value in known.items() if value}
        try:
            return _version(library.put(store, key, data, mode=mode, use_multipart=False))
        except (library.exceptions.AlreadyExistsError, library.exceptions.PreconditionError):
            return None
        except FileNotFoundError as error:
            if instead_of:  # it is gone meanwhile
                return None
            refuse(error, self.url)
        except library.exceptions.BaseError as error:
            refuse(error, self.url)

    def delete(self, key: str) -> None:
        """Delete one object, which may not be there; SourceError where that is not allowed."""
        library, store = self._obstore, self._store
        try:
            library.delete(store, key)
        except FileNotFoundError:
            return
        except library.exceptions.BaseError as error:
            refuse(error, self.url)

    def top(self) -> Iterator[Found]:
        """Yield the objects right below the prefix, without those further down."""
        library, store = self._obstore, self._store
        try:
            for meta in library.list_with_delimiter(store)["objects"]:
                yield _found(meta)
        except (FileNotFoundError, library.exceptions.BaseError) as error:
            refuse(error, self.url)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes of one object from `start` on, less at its end; errors as `get`."""
        return bytes(self._ask("get_range", key, start=start, length=length)) if length else b""

    def _ask(self, what: str, key: str, **how: int) -> Any:
        library, store = self._obstore, self._store
        try:
            return getattr(library, what)(store, key, **how)
        except FileNotFoundError as error:
            if about(error) == "bucket":
                refuse(error, self.url)
            raise
        except library.exceptions.BaseError as error:
            name = type(error).__name__
            if name == "PermissionDeniedError" and about(error) in ("", "rights"):
                raise PermissionError(f"access to {key} is denied") from error
            if name == "InvalidPathError":
                raise FileNotFoundError(f"{key} is no name of an object") from error
            refuse(error, self.url)

    @cached_property
    def _store(self) -> Any:
        return open_store(self.url, timeout=self.timeout)

    @property
    def _obstore(self) -> Any:
        need_obstore(self.url)
        import obstore.exceptions

        return obstore


def _found(meta: Any) -> Found:
    modified: datetime = meta["last_modified"]
    seconds = int(modified.timestamp() // 1)
    return Found(
        meta["path"],
        meta["size"],
        seconds * 10**9 + modified.microsecond * 1000,
        _version(meta),
    )


def _version(meta: Any) -> Version:
    return Version(meta["e_tag"] or "", meta["version"])
