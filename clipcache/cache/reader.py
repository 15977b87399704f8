"""Reading a cache: every value that leaves has been checked against its seal or its checksum."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import Store
from zarr.storage import LocalStore

from clipcache.arrays import Features, Labels, RowIds
from clipcache.cache.copies import copy_of
from clipcache.cache.layout import (
    FORMAT,
    PARTS,
    Columns,
    Part,
    State,
    seal,
    seal_text,
    sealed_rows,
)
from clipcache.encoders.base import Identity
from clipcache.errors import (
    CacheDamagedError,
    CacheError,
    CacheFormatError,
    CacheMissingError,
)
from clipcache.images.base import SPLITS
from clipcache.images.roots import Place, place_of
from clipcache.text import LabelText

AGAIN = "run the same `clipcache embed` or `clipcache import` again"
REMEDY = (
    f"{AGAIN}, it may have been cut off; if that does not help, restore it from a copy, or delete "
    "it and make it anew"
)
MEANWHILE = (
    "if another command has changed the cache meanwhile, run this again; if not, `clipcache "
    "verify` names every damaged chunk"
)

DONE: dict[Part, str] = {"listing": "listed", "result": "embedded"}

Seal = npt.NDArray[np.uint8]
"""(40,) the entry of a chunk in a manifest, or (m, 40) those of all chunks."""
Text = npt.NDArray[Any]
"""(k,) strings of variable length."""


class EmbeddingCache:
    """An opened cache. Sizes: `n` rows, `dim` dimensions, `chunks` of `chunk_rows` rows."""

    def __init__(self, path: Place, group: zarr.Group, copy: Path | None = None) -> None:
        check_format(path, group)
        self.path = path
        """Where it lies."""
        self._copy = copy
        self.group = group
        attrs: dict[str, Any] = dict(group.attrs)
        try:
            self.identity = Identity.from_dict(attrs["identity"])
            self.chunk_rows = int(attrs["chunk_rows"])
            self.dim = int(self.identity.dim)
        except (KeyError, TypeError, ValueError) as error:
            raise CacheDamagedError(f"{path}/zarr.json lacks {error}; {REMEDY}") from error

    @classmethod
    def open(cls, path: Place, *, anew: bool = False) -> Self:
        """Open a cache for reading; of one in a bucket a copy is kept on this machine.

        With `anew` the copy is fetched whole, whatever is there.

        Raises CacheMissingError, CacheFormatError or CacheDamagedError, each saying what is there,
        and SourceError where a bucket cannot be read.
        """
        place = place_of(path)
        folder = place if isinstance(place, Path) else copy_of(place, anew=anew)
        if folder is None or not (folder / "zarr.json").is_file():
            raise CacheMissingError(
                f"there is no cache at {place}; make one with `clipcache embed SOURCE {place}`"
            )
        cache = cls(place, open_group(LocalStore(folder, read_only=True), "r", place), folder)
        shapes = cache.array("images/key").chunks, cache.array("images/embedding").chunks
        if shapes != ((cache.chunk_rows,), (cache.chunk_rows, cache.dim)):
            raise CacheDamagedError(f"{path}/zarr.json does not fit the arrays beside it; {REMEDY}")
        return cache

    def array(self, name: str) -> zarr.Array[Any]:
        """Return the zarr array of this path; CacheDamagedError where it is missing."""
        try:
            found = self.group[name]
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise CacheDamagedError(
                f"{self.path} has no readable array {name}; was it copied only in part?"
            ) from error
        if not isinstance(found, zarr.Array):
            raise CacheDamagedError(f"{self.path}/{name} is a group, but an array is expected")
        return found

    @property
    def folder(self) -> Path:
        """The folder with its files, or with a copy of them; it is there where it was opened."""
        if self._copy is None:
            raise CacheError(f"{self.path} is being written, and has no folder on this machine")
        return self._copy

    @property
    def n(self) -> int:
        """Rows in all: done, failed and pending."""
        return int(self.array("images/key").shape[0])

    @property
    def chunks(self) -> int:
        """How many chunks the rows fill, the last one perhaps in part."""
        return -(-self.n // self.chunk_rows)

    def span(self, chunk: int) -> slice:
        """Return the rows of one chunk."""
        return slice(chunk * self.chunk_rows, min(self.n, (chunk + 1) * self.chunk_rows))

    def read(self, column: str, rows: slice | None = None) -> npt.NDArray[Any]:
        """Return one column, or some rows of it; CacheDamagedError where a checksum is wrong."""
        return self._read_array(f"images/{column}", rows)

    def _read_array(self, name: str, rows: slice | None = None) -> npt.NDArray[Any]:
        try:
            values = self.array(name)[rows if rows is not None else slice(None)]
        except (ValueError, RuntimeError, OSError) as error:
            raise CacheDamagedError(
                f"{name} of {self.path} cannot be read ({error}); "
                "`clipcache verify` names every damaged chunk"
            ) from error
        return np.asarray(values)

    def listing(self) -> dict[str, npt.NDArray[Any]]:
        """Return key, label and split of all n rows, each chunk checked against its seal.

        Rows that are not sealed yet have an empty key, the label -1 and the split 0. Raises
        CacheDamagedError where a chunk is not what was written.
        """
        out = {
            "key": np.full(self.n, "", dtype=self.array("images/key").dtype),
            "label": np.full(self.n, -1, dtype=np.int32),
            "split": np.zeros(self.n, dtype=np.int8),
        }
        for chunk in np.flatnonzero(self.finished_rows("listing")).tolist():
            self.check("listing", chunk, out)
        return out

    def keys(self) -> Text:
        """Return the (n,) names of all images."""
        self._require_sealed("listing")
        return self.listing()["key"]

    def labels(self) -> Labels:
        """Return the (n,) class indices, -1 where unknown."""
        self._require_sealed("listing")
        return self.listing()["label"].astype(np.int64)

    def rows(self, split: str) -> RowIds:
        """Return the rows of a split that have an embedding: failed images never take part.

        Raises CacheError where the embedding is not finished.
        """
        self.require_finished()
        states = self.read("state")
        if (states == State.PENDING).any():
            raise CacheDamagedError(f"{self.path}: images/state is not what was written; {REMEDY}")
        inside = self.listing()["split"] == SPLITS.index(split)
        return np.flatnonzero(inside & (states == State.DONE)).astype(np.int64)

    def embeddings(self) -> Features:
        """Return all (n, dim) float16 rows in memory, each chunk checked against its seal.

        Raises CacheError where the embedding is not finished, CacheDamagedError where a chunk is
        not what was written.
        """
        self.require_finished()
        out = np.empty((self.n, self.dim), dtype=np.float16)
        for chunk in range(self.chunks):
            self.check("result", chunk, {"embedding": out})
        return out

    def finished_rows(self, part: Part) -> npt.NDArray[np.int64]:
        """Return how many rows of each chunk are sealed."""
        return sealed_rows(self.seals(part))

    def seals(self, part: Part) -> Seal:
        """Return the (chunks, 40) manifest; all zeros where a chunk has no seal yet."""
        return self._read_array(f"manifest/{part}")

    def seal_of(self, part: Part, chunk: int) -> Seal:
        """Return the (40,) manifest entry of one chunk; all zeros where it has no seal yet."""
        entry: Seal = self._read_array(f"manifest/{part}", slice(chunk, chunk + 1))[0]
        return entry

    def require_finished(self) -> None:
        """Raise CacheError where a chunk still waits for its embeddings."""
        self._require_sealed("listing")
        self._require_sealed("result")

    def _require_sealed(self, part: Part) -> None:
        done = int(self.finished_rows(part).sum())
        if done > self.n:
            raise CacheDamagedError(
                f"{self.path} has seals for {done} images, but room for {self.n}; {REMEDY}"
            )
        if done < self.n:
            raise CacheError(
                f"{self.path} is not finished: {done} of {self.n} images are {DONE[part]}; "
                f"{AGAIN} to go on"
            )

    def names(self) -> tuple[str, ...]:
        """Return the class names that stored labels refer to; empty without labels."""
        return tuple(self._text_attributes().get("names", ()))

    def text(self) -> LabelText | None:
        """Return class names and their vectors; None where the cache was made without labels.

        Raises CacheDamagedError where the vectors are not the ones that belong to the names.
        """
        attrs = self._text_attributes()
        if not attrs:
            return None
        vectors = self._read_array("text/vectors").astype(np.float32)
        try:
            text = LabelText(
                tuple(attrs["names"]),
                tuple(attrs["templates"]),
                vectors,
                float(attrs["logit_scale"]),
            )
            whole = seal_text(text) == attrs["sha256"]
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise CacheDamagedError(f"{self.path}: text/ is not what was written; {AGAIN}")
        return text

    def _text_attributes(self) -> dict[str, Any]:
        try:
            attrs = dict(self.group["text"].attrs) if "text" in self.group else {}
        except (KeyError, ValueError, TypeError, OSError) as error:
            raise CacheDamagedError(
                f"{self.path}/text cannot be read ({error}); {REMEDY}"
            ) from error
        if not attrs and (self.listing()["label"] >= 0).any():
            raise CacheDamagedError(
                f"{self.path} has labels, but text/ does not say what they mean; {REMEDY}"
            )
        return attrs

    def damage(self) -> Iterator[str]:
        """Re-hash every finished chunk and describe each that differs from its seal."""
        for part in PARTS:
            try:
                finished = self.finished_rows(part)
            except CacheDamagedError as error:
                yield str(error)
                continue
            for chunk in np.flatnonzero(finished).tolist():
                problem = self._problem(part, chunk)
                if problem:
                    yield problem
        try:
            self.text()
        except CacheDamagedError as error:
            yield str(error)

    def check(
        self, part: Part, chunk: int, out: Columns | None = None, *, sealed: Seal | None = None
    ) -> None:
        """Compare the finished rows of a chunk with their seal; hand out columns read on the way.

        `out` holds (n, ...) arrays by column. `sealed` is the seal where it was read before, so
        that rows which were sealed later do not count. Raises CacheDamagedError where the rows are
        not what was written.
        """
        problem = self._problem(part, chunk, out, sealed)
        if problem:
            remedy = REMEDY if sealed is None else MEANWHILE
            raise CacheDamagedError(f"{self.path}: {problem}; {remedy}")

    def _problem(
        self, part: Part, chunk: int, out: Columns | None = None, sealed: Seal | None = None
    ) -> str | None:
        start = chunk * self.chunk_rows
        where = f"{part} of chunk {chunk}"
        try:
            entry = self.seal_of(part, chunk) if sealed is None else sealed
            rows = slice(start, start + int(sealed_rows(entry[None])[0]))
            where = f"{where} (rows {rows.start} to {rows.stop - 1})"
            values = {name: self.read(name, rows) for name in PARTS[part]}
        except CacheDamagedError as error:
            return f"{where}: {error}"
        if not np.array_equal(seal(part, values), entry):
            return f"{where}: {', '.join(PARTS[part])} are not what was written"
        for name, column in (out or {}).items():
            column[rows] = values[name]
        return None


def open_group(store: Store, mode: Literal["r", "r+"], place: Place) -> zarr.Group:
    """Open the root group of a store; CacheDamagedError where its metadata make no sense."""
    try:
        return zarr.open_group(store, mode=mode)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CacheDamagedError(f"{place}/zarr.json cannot be read: {error}") from error


def check_format(path: Place, group: zarr.Group) -> None:
    """Raise unless the group is a cache of the format that this version knows."""
    if "creating" in group.attrs:
        raise CacheError(f"{path} was only begun; {AGAIN} to go on")
    found = group.attrs.get("format")
    if "identity" not in group.attrs or not isinstance(found, int):
        raise CacheFormatError(f"{path} is a Zarr group, but not a clipcache cache")
    if found != FORMAT:
        raise CacheFormatError(
            f"{path} has format {found}, this version of clipcache reads format {FORMAT}; "
            "install the version that wrote it, or a newer one"
        )
