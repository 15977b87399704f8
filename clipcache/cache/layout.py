"""The format on disk, version 1: which arrays there are and how finished chunks are sealed.

```
CACHE/                        Zarr v3 group; attributes: format, identity, chunk_rows, splits
  images/key        (n,)      text; the image's name in its source
  images/label      (n,)      int32; index of a class name, -1 unknown
  images/split      (n,)      int8; index of a split name
  images/embedding  (n, d)    float16 unit rows
  images/digest     (n, 32)   SHA-256 of the encoded file
  images/stamp      (n, 2)    size and modification time (ns) of the file, -1 where missing
  images/state      (n,)      0 pending, 1 done, 2 failed
  images/reason     (n,)      text; why an image failed
  manifest/listing  (m, 40)   one seal a chunk over key, label, split
  manifest/result   (m, 40)   one seal a chunk over embedding, digest, stamp, state, reason
  text/vectors      (c, d)    float32 unit rows; attributes of text/: names, templates, logit_scale,
                              sha256 of these and of the vectors
  taught.json                 where the encoder was fine-tuned: the rows that it was trained on
```

Zarr answers zeros for a chunk that is not there, so completeness is never read from the values: a
seal (row count as 8 bytes little-endian, then SHA-256) is written after a chunk is safely on disk.
Chunks are neither compressed (unit vectors shrink by 6-9 %, reading slows down 2-3 times) nor
sharded (reading speed halves); crc32c notices a flipped bit in every read.
"""

import hashlib
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from clipcache.text import LabelText

FORMAT = 1
CHUNK_ROWS = 8192
META = "zarr.json"
"""The file that makes a place a Zarr group."""
LOCK = ".lock"
"""How the names of locks begin."""

Part = Literal["listing", "result"]
Columns = Mapping[str, npt.NDArray[Any]]
"""Column name -> values of the same consecutive rows."""

LISTING = ("key", "label", "split")
RESULT = ("embedding", "digest", "stamp", "state", "reason")
PARTS: dict[Part, tuple[str, ...]] = {"listing": LISTING, "result": RESULT}


def chunk_file(chunk: int) -> str:
    """Return where the embeddings of one chunk are: the bytes of all its rows, and a CRC-32C."""
    return f"images/embedding/c/{chunk}/0"


class State(IntEnum):
    """What has become of an image."""

    PENDING = 0
    DONE = 1
    FAILED = 2


class Column(NamedTuple):
    """Type, width (0 = one value a row) and fill value of one array."""

    dtype: Any
    width: int
    fill: Any


def columns(dim: int) -> dict[str, Column]:
    """Describe all per-image arrays for embeddings of `dim` dimensions."""
    return {
        "key": Column(str, 0, ""),
        "label": Column(np.dtype(np.int32), 0, -1),
        "split": Column(np.dtype(np.int8), 0, 0),
        "embedding": Column(np.dtype(np.float16), dim, 0.0),
        "digest": Column(np.dtype(np.uint8), 32, 0),
        "stamp": Column(np.dtype(np.int64), 2, 0),
        "state": Column(np.dtype(np.int8), 0, State.PENDING),
        "reason": Column(str, 0, ""),
    }


def sha256(values: Columns, names: tuple[str, ...]) -> bytes:
    """Hash the named columns: text as UTF-8 between NULs, numbers as their little-endian bytes."""
    sha = hashlib.sha256()
    for name in names:
        column = values[name]
        if column.dtype.kind in "UTO":
            sha.update("\0".join(column.tolist()).encode() + b"\0")
        else:
            sha.update(np.ascontiguousarray(column).data)
    return sha.digest()


def seal(part: Part, values: Columns) -> npt.NDArray[np.uint8]:
    """Return the (40,) manifest entry for a chunk whose finished rows are `values`."""
    rows = len(values[PARTS[part][0]])
    head = rows.to_bytes(8, "little")
    return np.frombuffer(head + sha256(values, PARTS[part]), dtype=np.uint8)


def seal_text(text: LabelText) -> str:
    """Return the SHA-256, in hexadecimal, of everything in text/."""
    values = {
        "names": np.array(text.names),
        "templates": np.array(text.templates),
        "logit_scale": np.array([text.logit_scale]),
        "vectors": text.vectors,
    }
    return sha256(values, tuple(values)).hex()


def sealed_rows(entries: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Return how many rows each (m, 40) manifest entry covers; 0 is a chunk not begun."""
    return entries[:, :8].copy().view("<i8").reshape(-1).astype(np.int64)
