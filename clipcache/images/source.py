"""From what a user names to a source, narrowed and split as asked.

What it is shows in what is named: a folder of images, of .tar or of .parquet files, one of these
files, a table, or a text file of addresses, on this machine or in a bucket.
"""

from dataclasses import dataclass
from pathlib import Path

from clipcache.errors import SourceError
from clipcache.images.addresses import Addresses
from clipcache.images.base import Source
from clipcache.images.folder import EXTENSIONS, SHARDS, Folder, mixed
from clipcache.images.names import read_names
from clipcache.images.narrow import Narrow
from clipcache.images.parquet import ParquetImages
from clipcache.images.roots import Place, ending_of, place_of, root_of
from clipcache.images.split import RandomSplit, read_share
from clipcache.images.table import Table
from clipcache.images.tar import Tars
from clipcache.images.web import is_address

TABLES = (".csv", ".tsv")
PACKED = (".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst", ".zip", ".7z", ".rar")
"""Endings of files whose images cannot be read one by one."""
LIST = ".txt"
TAR, PARQUET = SHARDS
FILES = (*TABLES, LIST, TAR, PARQUET, *PACKED)
"""Endings by which the name of something in a bucket is that of a file."""
SHARDED = {TAR: "tars", PARQUET: "Parquet files"}

EXPECTED = (
    "give a folder of images, of .tar or of .parquet files, one of these files, a .csv or .tsv "
    "table, a .txt list of addresses, or the URL of one of these in a bucket"
)


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source; the options of `clipcache embed` with the same names."""

    root: Place | None = None
    path_column: str = "path"
    path_pattern: str = "{}"
    label_column: str | None = None
    exclude_label: tuple[str, ...] = ()
    top_classes: int | None = None
    labels: Path | None = None
    split: str = "none"


def open_source(named: Place, options: SourceOptions) -> Source:
    """Return the source that `named` is: a path, or the URL of something in a bucket.

    Raises SourceError where there is none, or where an option does not fit it.
    """
    kind, _, detail = options.split.partition(":")
    if kind not in ("none", "folder", "random", "column"):
        raise SourceError(
            f"--split {options.split} is unknown; give none, folder, random:0.2 or column:NAME"
        )
    names = read_names(options.labels) if options.labels else None
    source = find_source(named, options, names)
    if options.exclude_label or options.top_classes or names:
        source = Narrow(source, frozenset(options.exclude_label), options.top_classes, names)
    if kind == "random":
        source = RandomSplit(source, read_share(detail))
    source.class_names()  # one pass, kept: a broken listing is told before an encoder is loaded
    return source


def find_source(
    named: Place, options: SourceOptions, names: tuple[str, ...] | None = None
) -> Source:
    """Return the source that `named` is, as it is; SourceError. Nothing is listed to its end.

    `names` are what labels mean that are numbers.
    """
    if is_address(str(named)):
        raise SourceError(f"{named} is an address of the web: put it, or many, into a .txt file")
    place = place_of(named)
    if isinstance(place, Path) and not place.exists():
        raise SourceError(f"{place} does not exist; {EXPECTED}")
    ending = ending_of(place)
    file = place.is_file() if isinstance(place, Path) else ending in FILES
    if not file:
        ending = _held(place)
    if ending in TABLES:
        return _open_table(place, options)
    if ending in PACKED:
        raise SourceError(
            f"{place} is compressed as a whole, so that no image can be read without all before "
            "it: unpack it (`gunzip` for .tar.gz, which leaves a .tar)"
        )
    if ending not in (LIST, TAR, PARQUET, ""):
        raise SourceError(f"{place} is a file that is no source; {EXPECTED}")
    _refuse_options(place, ending, options)
    if ending == LIST:
        return Addresses(place)
    split_folders = options.split == "folder"
    if ending == TAR:
        return Tars(place, split_folders, names)
    if ending == PARQUET:
        kind, _, column = options.split.partition(":")
        return ParquetImages(
            place,
            # The default is that of tables; in a Parquet file the column with bytes is looked for.
            None if options.path_column == "path" else options.path_column,
            options.label_column,
            column if kind == "column" else None,
            split_folders,
            names,
        )
    return Folder(place, split_folders)


def _held(folder: Place) -> str:
    """Return "" for a folder with an image in it, else the ending of the shards that it holds."""
    found = {ending: "" for ending in SHARDED}
    for key in root_of(folder).walk((*EXTENSIONS, *SHARDED)):
        ending = ending_of(Path(key))
        if ending not in SHARDED:
            return ""
        found[ending] = found[ending] or key
    held = [ending for ending, key in found.items() if key]
    if len(held) > 1:
        raise mixed(folder, *found.values())
    return held[0] if held else ""


def _refuse_options(place: Place, ending: str, options: SourceOptions) -> None:
    """Raise SourceError for an option that is for another kind of source."""
    what = SHARDED.get(ending) or ("a list of addresses" if ending == LIST else "a folder")
    means = f"{place} is {what}" if what.startswith("a ") else f"{place} holds {what}"
    if options.split.startswith("column") and ending != PARQUET:
        raise SourceError(f"--split {options.split} needs a table, but {means}")
    if options.split == "folder" and ending == LIST:
        raise SourceError(f"--split folder needs a folder, but {means}")
    if options.root or (options.label_column and ending != PARQUET):
        raise SourceError(f"--label-column and --root are for tables, but {means}")


def _open_table(path: Place, options: SourceOptions) -> Source:
    if options.split == "folder":
        raise SourceError(f"--split folder needs a folder, but {path} is a table; give column:NAME")
    kind, _, column = options.split.partition(":")
    return Table(
        path,
        root=None if options.root is None else place_of(options.root),
        path_column=options.path_column,
        label_column=options.label_column,
        split_column=column if kind == "column" else None,
        path_pattern=options.path_pattern,
    )
