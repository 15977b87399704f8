"""Predictions on disk, a line an image: CSV, or Parquet by the name of the file."""

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from clipcache.durable import whole_file
from clipcache.errors import SourceError

SHOWN = 5
"""Classes that are named for each image."""


class Prediction(NamedTuple):
    """What is said of one image."""

    key: str
    classes: tuple[str, ...]
    """The likeliest first, at most `SHOWN`; none where the image cannot be used."""
    probabilities: tuple[float, ...]
    """Of these classes."""
    answer: str
    """The likeliest class, or "" where it is not likely enough."""
    reason: str
    """Why there is no answer; "" where there is one."""


COLUMNS = (
    "key",
    *(f"class_{place}" for place in range(1, SHOWN + 1)),
    *(f"probability_{place}" for place in range(1, SHOWN + 1)),
    "answer",
    "reason",
)

Line = tuple[str | float | None, ...]
Add = Callable[[list[Line]], None]
"""Called with some lines, one value a column."""


def check_name(path: Path) -> None:
    """Raise SourceError unless predictions can be written to a file of this name."""
    if path.suffix.lower() not in KINDS:
        raise SourceError(f"{path} is neither a .csv nor a .parquet file; give one of these names")
    if not path.parent.is_dir():
        raise SourceError(
            f"there is no folder {path.parent} to write {path.name} to; make it first"
        )


def write_predictions(path: Path, batches: Iterable[list[Prediction]]) -> None:
    """Write predictions to a .csv or .parquet file, whole or not at all.

    Raises SourceError as `check_name`, or where a Parquet file is wanted and pyarrow is missing.
    """
    check_name(path)
    with whole_file(path) as partial, KINDS[path.suffix.lower()](partial) as add:
        for batch in batches:
            add([_line(prediction) for prediction in batch])


def _line(prediction: Prediction) -> Line:
    """Return one value a column; None where there are fewer classes."""
    missing = [None] * (SHOWN - len(prediction.classes))
    probabilities = (round(probability, 6) for probability in prediction.probabilities)
    return (
        prediction.key,
        *(*prediction.classes, *missing),
        *(*probabilities, *missing),
        prediction.answer,
        prediction.reason,
    )


@contextmanager
def _csv(path: Path) -> Iterator[Add]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        yield writer.writerows


@contextmanager
def _parquet(path: Path) -> Iterator[Add]:
    try:
        import pyarrow
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise SourceError(
            'a Parquet file needs pyarrow, which is missing: pip install "clipcache[parquet]"; or '
            "write a .csv file"
        ) from error
    number = pyarrow.float32()
    types = {
        name: number if name.startswith("probability") else pyarrow.string() for name in COLUMNS
    }
    schema = pyarrow.schema(list(types.items()))

    def add(lines: list[Line]) -> None:
        rows = [dict(zip(COLUMNS, line, strict=True)) for line in lines]
        writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))

    with ParquetWriter(path, schema) as writer:
        yield add


KINDS = {".csv": _csv, ".parquet": _parquet}
