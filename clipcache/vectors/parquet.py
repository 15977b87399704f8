"""Columns of Parquet files: the only door to pyarrow, an optional download of some 50 MB."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from clipcache.errors import SourceError
from clipcache.vectors.base import in_one_line


class Shape(NamedTuple):
    """What a Parquet file says of itself."""

    rows: int
    columns: dict[str, str]
    """Column name -> Arrow's word for its type: string, int64, null, ..."""


@dataclass(frozen=True)
class ParquetColumn:
    """One column of several files, one after the other; each loop reads them anew, in pieces."""

    paths: tuple[Path, ...]
    column: str

    def __iter__(self) -> Iterator[str]:
        """Yield every value as text, "" where there is none; SourceError as in `look`."""
        for path in self.paths:
            with _opened(path) as file:
                for batch in file.iter_batches(columns=[self.column]):
                    for value in batch.column(0).to_pylist():
                        yield "" if value is None else str(value)


def look(path: Path) -> Shape:
    """Return rows and columns of a Parquet file.

    Raises SourceError where it cannot be read, or pyarrow is not installed.
    """
    with _opened(path) as file:
        columns = {field.name: str(field.type) for field in file.schema_arrow}
        return Shape(file.metadata.num_rows, columns)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise SourceError(
            f'reading {path} needs pyarrow, which is missing: pip install "clipcache[parquet]"'
        ) from error
    try:
        with ParquetFile(path) as file:
            yield file
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{path} cannot be read as a Parquet file ({in_one_line(error)})"
        ) from error
