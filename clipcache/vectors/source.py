"""From what a user names to vectors: a .npz file, a .npy file or a folder of clip-retrieval."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from clipcache.errors import SourceError
from clipcache.images.names import read_names
from clipcache.images.split import RandomSplit, read_share
from clipcache.vectors.base import ListedRows, VectorSet
from clipcache.vectors.clip_retrieval import open_clip_retrieval
from clipcache.vectors.keys import NumberKeys
from clipcache.vectors.labels import Names, check_count, read_labels
from clipcache.vectors.lines import Lines
from clipcache.vectors.npy import NpyFile
from clipcache.vectors.npz import open_npz


@dataclass(frozen=True)
class VectorOptions:
    """How to read vectors; the options of `clipcache import` with the same names."""

    labels: Path | None = None
    names: Path | None = None
    keys: Path | None = None
    split: str = "none"
    key_column: str = "image_path"
    label_column: str | None = None


FIT = {
    ".npz": set[str](),
    ".npy": {"labels", "names", "keys", "split"},
    "folder": {"names", "split", "key_column", "label_column"},
}
"""Kind of features -> the options that say something about it."""


def open_vectors(path: Path, options: VectorOptions) -> VectorSet:
    """Return the embeddings at `path`, looked at but for the values of their rows.

    Raises SourceError where there are none, their parts do not fit each other, or an option does
    not fit them.
    """
    if not path.exists():
        raise SourceError(f"{path} does not exist; {_EXPECTED}")
    kind = "folder" if path.is_dir() else path.suffix.lower()
    if kind not in FIT:
        raise SourceError(f"{path} is neither a .npz nor a .npy; {_EXPECTED}")
    _refuse_unfit(path, kind, options)
    share = _share(options.split)
    names = read_names(options.names) if options.names else None
    if kind == ".npz":
        return open_npz(path)
    if kind == ".npy":
        found = _open_npy(path, options, names)
    else:
        found = open_clip_retrieval(path, options.key_column, options.label_column, names)
    return found if share is None else replace(found, rows=RandomSplit(found.rows, share))


_EXPECTED = "give a .npz or .npy file, or a folder of clip-retrieval"


def _refuse_unfit(path: Path, kind: str, options: VectorOptions) -> None:
    for field in fields(options):
        given = getattr(options, field.name) != field.default
        if given and field.name not in FIT[kind]:
            fit = ", ".join(k for k, names in FIT.items() if field.name in names)
            raise SourceError(
                f"--{field.name.replace('_', '-')} goes with {fit}, but {path} is a {kind}: "
                "leave it out"
            )


def _share(split: str) -> float | None:
    """Return the share to hold out, None for "none"."""
    kind, _, share = split.partition(":")
    if split == "none":
        return None
    if kind != "random":
        raise SourceError(f"--split {split} is unknown; give none, or a share as in random:0.2")
    return read_share(share)


def _open_npy(path: Path, options: VectorOptions, names: Names | None) -> VectorSet:
    """Return the vectors of one .npy file, which stay on disk, with labels and keys beside it."""
    vectors = NpyFile.open(path)
    n = vectors.shape[0]
    labels = np.full(n, -1, dtype=np.int64)
    if options.labels:
        labels, names = read_labels(options.labels, names)
        check_count(len(labels), str(options.labels), n, str(path))
    if options.keys:
        _check_keys(options.keys, n, path)
    keys = Lines(options.keys) if options.keys else NumberKeys(n)
    return VectorSet(path.name, (vectors,), ListedRows(keys, labels, names or ()))


def _check_keys(path: Path, n: int, vectors: Path) -> None:
    """Raise SourceError unless a file has n lines that are not empty."""
    count = 0
    for count, key in enumerate(Lines(path), 1):
        if not key:
            raise SourceError(f"line {count} of {path} is empty: expected what the row is called")
    check_count(count, str(path), n, str(vectors))
