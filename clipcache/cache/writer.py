"""Writing a cache so that a kill at any moment loses nothing and changes no byte of the result.

One process lists at a time (lock), and each chunk has one writer. The unit of work is a chunk: its
columns go to disk first, its seal last. A chunk that was sealed before is rewritten through a redo
log, so that a reader or a second writer finds either the old rows or the new ones, never a mixture.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
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
from clipcache.cache.locks import LOCK, WHOLE, Hold, Share, hold
from clipcache.cache.reader import REMEDY, EmbeddingCache, open_group
from clipcache.cache.store import DurableStore
from clipcache.durable import flush, write_file
from clipcache.encoders.base import Identity
from clipcache.errors import (
    CacheDamagedError,
    CacheError,
    CacheIdentityError,
)
from clipcache.images.base import SPLITS
from clipcache.text import LabelText

REDO = ".redo{}.npz"
SEAL_BYTES = 40


class CacheWriter:
    """Who may change a cache; use `CacheWriter.open` in a `with` statement."""

    def __init__(self, cache: EmbeddingCache, held: Hold | None = None) -> None:
        self.cache = cache
        self._held = held

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, identity: Identity, *, chunk_rows: int, share: Share = WHOLE
    ) -> Iterator["CacheWriter"]:
        """Create a cache or open the one that is there, and repair what a kill left.

        Nobody else can meanwhile, but for those who do other shares of it.

        Raises CacheLockedError where another process writes, CacheIdentityError where another
        encoder made the cache, CacheError where `path` is something else.
        """
        _refuse_foreign(path)
        path.mkdir(parents=True, exist_ok=True)
        flush(path)
        with hold(path, share) as held:
            writer = cls(_open_or_create(path, identity, chunk_rows), held)
            writer._finish_rewrites(share)
            if held.alone():
                writer._recover()
            yield writer

    @classmethod
    def beside(cls, path: Path, identity: Identity) -> Self:
        """Open a cache for one of those who do chunks while another process holds it.

        Raises CacheIdentityError where another encoder made the cache.
        """
        return cls(_open(path, identity))

    def listed(self) -> None:
        """Let others who do shares of this cache list, now that this process has."""
        if self._held:
            self._held.let_others_list()

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
        redo = self.cache.path / REDO.format(f"-{part}-{chunk}")
        if self.cache.seal_of(part, chunk).any():
            _write_redo(redo, part, chunk, values)
        self._apply(part, chunk, values)
        redo.unlink(missing_ok=True)

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
        for redo in sorted(self.cache.path.glob(REDO.format("*"))):
            part, chunk, values = _read_redo(redo)
            if part == "listing" or share.has(chunk):
                self._apply(part, chunk, values)
                redo.unlink()

    def _recover(self) -> None:
        """Sweep partial files, and forget rows whose listing was cut off."""
        for leftover in self.cache.path.rglob("*.partial"):
            leftover.unlink()
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


def _write_redo(redo: Path, part: Part, chunk: int, values: Columns) -> None:
    plain = {n: np.array(v.tolist()) if v.dtype.kind in "TO" else v for n, v in values.items()}
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, part=part, chunk=chunk, **plain)
    write_file(redo, buffer.getvalue())


def _read_redo(redo: Path) -> tuple[Part, int, Columns]:
    try:
        with np.load(redo, allow_pickle=False) as saved:
            part: Part = saved["part"].item()
            return part, int(saved["chunk"]), {name: saved[name] for name in PARTS[part]}
    except (ValueError, KeyError, OSError, BadZipFile, zlib.error) as error:
        raise CacheDamagedError(f"{redo} cannot be read ({error}); {REMEDY}") from error


def _refuse_foreign(path: Path) -> None:
    if path.is_file():
        raise CacheError(f"{path} is a file; a cache is a folder: name another place")
    if path.is_dir() and not (path / "zarr.json").exists():
        # A kill during the very first write leaves no more than locks and a partial file.
        found = (e for e in path.iterdir() if e.suffix != ".partial")
        others = [e.name for e in found if not e.name.startswith(LOCK)]
        if others:
            raise CacheError(
                f"{path} is a folder with other things in it ({others[0]}, ...), not a cache; "
                "name another place"
            )


def _open_or_create(path: Path, identity: Identity, chunk_rows: int) -> EmbeddingCache:
    if (path / "zarr.json").exists():
        group = open_group(DurableStore(path), "r+")
    else:
        group = zarr.create_group(DurableStore(path), attributes={"creating": True})
    if "creating" in group.attrs:
        _create(group, identity, chunk_rows)
    return _open(path, identity)


def _open(path: Path, identity: Identity) -> EmbeddingCache:
    cache = EmbeddingCache(path, open_group(DurableStore(path), "r+"))
    if cache.identity != identity:
        raise CacheIdentityError(
            f"{path} was made by {cache.identity}, but this is {identity}; "
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
