"""Named columns of a CSV file, row by row, with every fault told by its line."""

import codecs
import csv
from collections.abc import Iterator, Sequence

from clipcache.errors import SourceError
from clipcache.images.roots import Place, ending_of, parted, root_of

BUFFER = 1 << 20
"""Bytes of a table in a bucket that are fetched at a time."""


def fault(path: Place, line: int, what: str) -> SourceError:
    """Return the error to raise about one line of a table."""
    return SourceError(f"line {line} of {path} {what}")


def read_rows(path: Place, columns: Sequence[str | None]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row's line number and its cells in `columns`; the column None is always empty.

    The file is UTF-8, with or without a byte order mark, and separated by commas, or by tabs where
    it is called .tsv. Blank lines are passed over. The line number is that of a row's last line.
    Raises SourceError where the table cannot be read, a column is missing, or a row does not have
    as many cells as the header (empty ones too many do no harm).
    """
    records = _records(path)
    header = [name.strip() for name in next(records, (1, []))[1]]
    positions = [_position(path, header, name) for name in columns]
    for line, cells in records:
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise fault(
                path,
                line,
                f"has {len(cells)} cells, but the header has {len(header)}: complete it, and put "
                "cells with a separator in them between double quotes",
            )
        yield line, ["" if p is None else cells[p] for p in positions]


def _position(path: Place, header: list[str], name: str | None) -> int | None:
    """Return where the column stands in the header."""
    if not header:
        raise SourceError(f"{path} is empty: expected a first line with the names of the columns")
    if name is None:
        return None
    if header.count(name) != 1:
        number = "no" if name not in header else "more than one"
        raise SourceError(f"{path} has {number} column {name!r}; there are: {', '.join(header)}")
    return header.index(name)


def _records(path: Place) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of every record that is not blank, the header included."""
    separator = "\t" if ending_of(path) == ".tsv" else ","
    lines = (line for _, line in read_lines(path, "table", "CSV file"))
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise fault(path, reader.line_num, f"is not a row of a table: {error}") from error


def read_lines(path: Place, what: str, kind: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line of a `what`, decoded one by one so that a bad one is told.

    Raises SourceError where it cannot be read or is not UTF-8; a byte order mark is passed over.
    """
    root, name = parted(path)
    try:
        with root_of(root).open(name, BUFFER) as file:
            for number, line in enumerate(file, 1):
                yield number, line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode()
    except UnicodeDecodeError as error:
        raise fault(path, number, f"is not UTF-8 text: save the {what} as UTF-8") from error
    except OSError as error:
        raise SourceError(
            f"cannot read the {what} {path} ({error.strerror}): expected a {kind}"
        ) from error
