"""Parts of a Parquet file, wherever it lies: its footer, a few short columns, one group of rows."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, NamedTuple

from clipcache.errors import ImageError, SourceError
from clipcache.images.roots import Root

BUFFER = 64 << 10
"""Bytes fetched at a time at least; pyarrow itself asks for whole columns."""
LARGEST = 2 << 30
"""Bytes of images in a group of rows, which can only be read whole."""
ROWS = 4096
"""Rows of short columns read at a time."""
USUAL = "image"
"""What the column of images is called in datasets of Hugging Face, where several hold bytes."""
READABLE = ("string", "large_string", "string_view", "null")
"""Arrow's words for the types that a label or a split may have, beside integers."""

DAMAGED = "the Parquet file is damaged where this image is"


class Footer(NamedTuple):
    """What a Parquet file says of itself."""

    meta: Any
    schema: Any
    starts: list[int]
    """The first row of each group, and the number of rows."""
    column: str
    """Where the bytes of the images are: `image`, or `image.bytes` in a struct."""

    @property
    def nbytes(self) -> int:
        """Bytes in memory, about."""
        return int(self.meta.serialized_size)

    def class_names(self, column: str | None) -> tuple[str, ...] | None:
        """Return what the integers of a column mean, where the `datasets` library noted it."""
        try:
            noted = json.loads((self.schema.metadata or {}).get(b"huggingface", b"{}"))
        except (ValueError, RecursionError):  # others may note something else there
            return None
        for part in ("info", "features", column, "names"):
            noted = noted.get(part) if isinstance(noted, dict) else None
        if not isinstance(noted, list) or not all(isinstance(name, str) for name in noted):
            return None
        return tuple(noted) or None


def read_footer(root: Root, key: str, column: str | None) -> Footer:
    """Return the footer of a file whose images are in `column`; None: it is looked for.

    Raises SourceError where the file cannot be read, the column is missing, unclear or holds no
    bytes, or a group of rows is too large, and where pyarrow is not installed.
    """
    with _told(f"{root}/{key}"), _opened(root, key) as file:
        meta, schema = file.metadata, file.schema_arrow
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    starts = [0, *accumulate(group.num_rows for group in groups)]
    footer = Footer(meta, schema, starts, _column_of_bytes(f"{root}/{key}", schema, column))
    for group in groups:
        parts = (group.column(number) for number in range(group.num_columns))
        size = sum(p.total_uncompressed_size for p in parts if p.path_in_schema == footer.column)
        if size > LARGEST:
            raise SourceError(
                f"{root}/{key} has groups of {group.num_rows:,} rows with {size >> 20:,} MB of "
                f"images, which must be read whole: expected at most {LARGEST >> 20:,} MB; write "
                "it anew with row_group_size=100"
            )
    return footer


def read_columns(
    root: Root, key: str, footer: Footer, columns: Sequence[str | None]
) -> Iterator[list[Any]]:
    """Yield text, number or None for each of `columns` of every row; the column None is all None.

    Raises SourceError where a column is missing or of another type.
    """
    wanted = [name for name in columns if name]
    for name in wanted:
        _check_short(f"{root}/{key}", footer.schema, name)
    if not wanted:
        yield from ([None] * len(columns) for _ in range(footer.starts[-1]))
        return
    with _told(f"{root}/{key}"), _opened(root, key, footer.meta) as file:
        for batch in file.iter_batches(batch_size=ROWS, columns=wanted):
            values = {name: batch.column(name).to_pylist() for name in wanted}
            for row in range(batch.num_rows):
                yield [values[name][row] if name else None for name in columns]


def read_group(root: Root, key: str, footer: Footer, group: int) -> Any:
    """Return the images of a group of rows, an Arrow column of bytes; ImageError for damage."""
    from pyarrow import ArrowException
    from pyarrow.compute import struct_field

    try:
        with _opened(root, key, footer.meta) as file:
            column = file.read_row_group(group, columns=[footer.column], use_threads=False)
    except (ArrowException, OSError) as error:
        raise ImageError(DAMAGED) from error
    images = column.column(0)
    return images if images.type.num_fields == 0 else struct_field(images, "bytes")


def _column_of_bytes(where: str, schema: Any, column: str | None) -> str:
    """Return where the bytes are, within the named column or the one that is found."""
    column = column or _find_column(where, schema)
    _check_there(where, schema, column)
    kind = schema.field(column).type
    if _bytes_in_struct(kind):
        return f"{column}.bytes"
    if not _is_bytes(kind):
        raise SourceError(
            f"the column {column!r} of {where} is of type {kind}: expected the bytes of images, or "
            "a struct of bytes and path; --path-column names another"
        )
    return column


def _find_column(where: str, schema: Any) -> str:
    """Return the only column that holds bytes of any length, of several the usual one."""
    found = [f.name for f in schema if _is_bytes(f.type) or _bytes_in_struct(f.type)]
    if len(found) == 1 or USUAL in found:
        return USUAL if USUAL in found else found[0]
    if not found:
        raise SourceError(
            f"{where} has no column with the bytes of images; there are: {', '.join(schema.names)}"
        )
    raise SourceError(
        f"{where} has several columns of bytes: {', '.join(found)}; call the one with the images "
        f"{USUAL}, or name it with --path-column, which `embed` and `predict` have"
    )


def _is_bytes(kind: Any) -> bool:
    return "binary" in str(kind) and not kind.num_fields and "fixed_size" not in str(kind)


def _bytes_in_struct(kind: Any) -> bool:
    """Tell whether a type is a struct with bytes in it, as datasets of Hugging Face have it."""
    inner = {kind.field(number).name: kind.field(number).type for number in range(kind.num_fields)}
    return "bytes" in inner and _is_bytes(inner["bytes"])


def _check_short(where: str, schema: Any, column: str) -> None:
    _check_there(where, schema, column)
    from pyarrow import types

    kind = schema.field(column).type
    plain = kind.value_type if types.is_dictionary(kind) else kind
    if str(plain) not in READABLE and not types.is_integer(plain):
        raise SourceError(
            f"the column {column!r} of {where} is of type {kind}: expected text or whole numbers"
        )


def _check_there(where: str, schema: Any, column: str) -> None:
    if schema.names.count(column) != 1:
        number = "no" if column not in schema.names else "more than one"
        raise SourceError(
            f"{where} has {number} column {column!r}; there are: {', '.join(schema.names)}"
        )


@contextmanager
def _opened(root: Root, key: str, meta: Any = None) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    with root.open(key, BUFFER) as raw, ParquetFile(raw, metadata=meta) as file:
        yield file


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turn what pyarrow raises into SourceErrors, and that it is not there."""
    try:
        from pyarrow import ArrowException
    except ImportError as error:
        raise SourceError(
            f'reading {where} needs pyarrow, which is missing: pip install "clipcache[parquet]"'
        ) from error
    try:
        yield
    except (ArrowException, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise SourceError(f"{where} cannot be read as a Parquet file ({said})") from error
