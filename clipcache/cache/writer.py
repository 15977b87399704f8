"""Writing a cache so that a kill at any moment loses nothing and changes no byte of the result.

One process lists at a time (lock), and each chunk has one writer. The unit of work is a chunk: its
columns go to disk first, its seal last. A chunk that was sealed before is rewritten through a redo
log, so that a reader or a second writer finds either the old rows or the new ones, never a mixture.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec

from clipcache.cache.layout import (
    FORMAT,
    PARTS,
    Column,
    Columns,
    Part,
    columns,
    seal,
    seal_text,
)
from clipcache.cache.locks import WHOLE, Hold, Share, hold
from clipcache.cache.reader import REMEDY, EmbeddingCache, open_group
from clipcache.cache.storage import Storage, storage_of
from clipcache.encoders.base import Identity
from clipcache.errors import (
    CacheDamagedError,
    CacheIdentityError,
)
from clipcache.images.base import SPLITS
from clipcache.images.roots import Place
from clipcache.text import LabelText

REDO = ".redo"
"""How the names of redo logs begin."""
SEAL_BYTES = 40


class CacheWriter:
    """Who may change a cache; use `CacheWriter.open` in a `with` statement."""

    def __init__(self, cache: EmbeddingCache, storage: Storage, held: Hold | None = None) -> None:
        self.cache = cache
        self._storage = storage
        self._held = held

    @classmethod
    @contextmanager
    def open(
        cls, path: Place, identity: Identity, *, chunk_rows: int, share: Share = WHOLE
    ) -> Iterator["CacheWriter"]:
        """Create a cache or open the one that is there, and repair what a kill left.

        Nobody else can meanwhile, but for those who do other shares of it.

        Raises CacheLockedError where another process writes, CacheIdentityError where another
        encoder made the cache, CacheError where `path` is something else.
        """
        storage = storage_of(path)
        storage.prepare()
        with hold(storage, share) as held:
            writer = cls(_open_or_create(storage, identity, chunk_rows), storage, held)
            writer._finish_rewrites(share)
            if held.alone():
                writer._recover()
            yield writer

    @classmethod
    def beside(cls, path: Place, identity: Identity) -> Self:
        """Open a cache for one of those who do chunks while another process holds it.

        Raises CacheIdentityError where another encoder made the cache.
        """
        storage = storage_of(path)
        return cls(_open(storage, identity), storage)

    def listed(self) -> None:
        """Let others who do shares of this cache list, now that this process has."""
        if self._held:
            self._held.let_others_list()

    def check(self) -> None:
        """Raise CacheLockedError where another process may have taken this one for dead."""
        self._storage.check()

    def grow(self, n: int) -> None:
        """Make room for `n` rows in all."""
        self._refuse_others()
        for name in columns(self.cache.dim):
            array = self.cache.array(f"images/{name}")
            array.resize((n, *array.shape[1:]))
        for part in PARTS:
            chunks = -(-n // self.cache.chunk_rows)
            self.cache.array(f"manifest/{part}").resize((chunks, SEAL_BYTES))

    def commit(self, part: Part, chunk: int, values: Columns) -> None:
        """Put one part of a chunk on disk, from its first row, and seal it.

        `values` holds all columns of the part for rows `chunk * chunk_rows` onwards.
        """
        if part == "listing":
            self._refuse_others()
        redo = f"{REDO}-{part}-{chunk}.npz"
        if rewritten := self.cache.seal_of(part, chunk).any():
            self._storage.write(redo, _packed(part, chunk, values))
        self._apply(part, chunk, values)
        if rewritten:
            self._storage.delete(redo)

    def write_text(self, text: LabelText) -> None:
        """Store class names, templates and vectors.

        The names go first and in one file, since stored labels refer to them; a kill in between
        leaves vectors that do not fit their hash, which the next call writes again.
        """
        self._refuse_others()
        group = self.cache.group.require_group("text")
        group.attrs.put(
            {
                "names": list(text.names),
                "templates": list(text.templates),
                "logit_scale": text.logit_scale,
                "sha256": seal_text(text),
            }
        )
        array = group.create_array(
            "vectors",
            shape=text.vectors.shape,
            chunks=text.vectors.shape,
            dtype=np.float32,
            compressors=Crc32cCodec(),
            overwrite=True,
        )
        array[:] = text.vectors

    def _apply(self, part: Part, chunk: int, values: Columns) -> None:
        start = chunk * self.cache.chunk_rows
        rows = slice(start, start + len(values[PARTS[part][0]]))
        for name in PARTS[part]:
            self.cache.array(f"images/{name}")[rows] = values[name]
        self.cache.array(f"manifest/{part}")[chunk] = seal(part, values)

    def _refuse_others(self) -> None:
        if self._held:
            self._held.refuse_others()

    def _finish_rewrites(self, share: Share) -> None:
        """Finish rewrites that were cut off, of the listing and of chunks that nobody else does."""
        for redo in self._storage.files(REDO):
            part, chunk, values = self._unpacked(redo)
            if part == "listing" or share.has(chunk):
                self._apply(part, chunk, values)
                self._storage.delete(redo)

    def _unpacked(self, redo: str) -> tuple[Part, int, Columns]:
        try:
            with np.load(BytesIO(self._storage.read(redo)), allow_pickle=False) as saved:
                part: Part = saved["part"].item()
                return part, int(saved["chunk"]), {name: saved[name] for name in PARTS[part]}
        except (ValueError, KeyError, OSError, BadZipFile, zlib.error) as error:
            raise CacheDamagedError(
                f"{redo} of {self.cache.path} cannot be read ({error}); {REMEDY}"
            ) from error

    def _recover(self) -> None:
        """Sweep partial files, and forget rows whose listing was cut off."""
        self._storage.sweep()
        listed = self.cache.finished_rows("listing")
        whole = int(np.argmin(listed)) if len(listed) and not listed.all() else len(listed)
        self._refuse_holes(listed, whole)
        n = int(listed[:whole].sum())
        if any(self.cache.array(f"images/{c}").shape[0] != n for c in columns(self.cache.dim)):
            self.grow(n)

    def _refuse_holes(self, listed: npt.NDArray[np.int64], whole: int) -> None:
        """Raise CacheDamagedError where a seal is missing that a kill cannot explain.

        Embedding begins when all is listed, and chunks are listed in order.
        """
        done = self.cache.finished_rows("result")
        both = min(len(listed), len(done))
        if listed[whole:].any() or done[both:].any() or (done[:both] > listed[:both]).any():
            raise CacheDamagedError(
                f"{self.cache.path}: manifest/listing lacks the seal of chunk {whole}; {REMEDY}"
            )


def _packed(part: Part, chunk: int, values: Columns) -> bytes:
    plain = {n: np.array(v.tolist()) if v.dtype.kind in "TO" else v for n, v in values.items()}
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, part=part, chunk=chunk, **plain)
    return buffer.getvalue()


def _open_or_create(storage: Storage, identity: Identity, chunk_rows: int) -> EmbeddingCache:
    if storage.begun():
        group = open_group(storage.zarr(), "r+", storage.place)
    else:
        group = zarr.create_group(storage.zarr(), attributes={"creating": True})
    if "creating" in group.attrs:
        _create(group, identity, chunk_rows)
    return _open(storage, identity)


def _open(storage: Storage, identity: Identity) -> EmbeddingCache:
    place = storage.place
    cache = EmbeddingCache(place, open_group(storage.zarr(), "r+", place))
    if cache.identity != identity:
        raise CacheIdentityError(
            f"{place} was made by {cache.identity}, but this is {identity}; "
            "use that encoder again, or another cache"
        )
    return cache


def _create(group: zarr.Group, identity: Identity, chunk_rows: int) -> None:
    """Fill an empty group; the attributes that make it a cache are written last."""
    images = group.require_group("images")
    for name, column in columns(identity.dim).items():
        _create_array(images, name, column, chunk_rows)
    manifest = group.require_group("manifest")
    for part in PARTS:
        _create_array(manifest, part, Column(np.dtype(np.uint8), SEAL_BYTES, 0), 1)
    group.attrs.put(
        {
            "format": FORMAT,
            "identity": identity.to_dict(),
            "chunk_rows": chunk_rows,
            "splits": list(SPLITS),
        }
    )


def _create_array(group: zarr.Group, name: str, column: Column, chunk_rows: int) -> None:
    width = (column.width,) if column.width else ()
    group.create_array(
        name,
        shape=(0, *width),
        chunks=(chunk_rows, *width),
        dtype=column.dtype,
        fill_value=column.fill,
        compressors=Crc32cCodec(),
        overwrite=True,
    )
