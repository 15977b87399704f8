"""From what a user names to a source: a folder or a table, narrowed and split as asked."""

from dataclasses import dataclass
from pathlib import Path

from clipcache.errors import SourceError
from clipcache.images.base import Source
from clipcache.images.folder import Folder
from clipcache.images.names import read_names
from clipcache.images.narrow import Narrow
from clipcache.images.split import RandomSplit, read_share
from clipcache.images.table import Table

TABLES = (".csv", ".tsv")


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source; the options of `clipcache embed` with the same names."""

    root: Path | None = None
    path_column: str = "path"
    path_pattern: str = "{}"
    label_column: str | None = None
    exclude_label: tuple[str, ...] = ()
    top_classes: int | None = None
    labels: Path | None = None
    split: str = "none"


def open_source(path: Path, options: SourceOptions) -> Source:
    """Return the source at `path`: a folder of images, or a .csv or .tsv table.

    Raises SourceError where there is none, or where an option does not fit it.
    """
    kind, _, detail = options.split.partition(":")
    if kind not in ("none", "folder", "random", "column"):
        raise SourceError(
            f"--split {options.split} is unknown; give none, folder, random:0.2 or column:NAME"
        )
    if not path.exists():
        raise SourceError(f"{path} does not exist; give a folder of images or a .csv table")
    source = _open_table(path, options) if path.is_file() else _open_folder(path, options)
    if options.exclude_label or options.top_classes or options.labels:
        names = read_names(options.labels) if options.labels else None
        source = Narrow(source, frozenset(options.exclude_label), options.top_classes, names)
    if kind == "random":
        source = RandomSplit(source, read_share(detail))
    source.class_names()  # one pass, kept: a broken listing is told before an encoder is loaded
    return source


def _open_folder(path: Path, options: SourceOptions) -> Source:
    if options.split.startswith("column"):
        raise SourceError(f"--split {options.split} needs a table, but {path} is a folder")
    if options.label_column or options.root:
        raise SourceError(f"--label-column and --root are for tables, but {path} is a folder")
    return Folder(path, split_folders=options.split == "folder")


def _open_table(path: Path, options: SourceOptions) -> Source:
    if path.suffix.lower() not in TABLES:
        raise SourceError(f"{path} is a file, but not one of {', '.join(TABLES)}, nor a folder")
    if options.split == "folder":
        raise SourceError(f"--split folder needs a folder, but {path} is a table; give column:NAME")
    kind, _, column = options.split.partition(":")
    return Table(
        path,
        root=options.root,
        path_column=options.path_column,
        label_column=options.label_column,
        split_column=column if kind == "column" else None,
        path_pattern=options.path_pattern,
    )
