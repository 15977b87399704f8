"""One .npz file that holds a pool, a test split and the class names."""

import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from clipcache.arrays import Vectors
from clipcache.errors import SourceError
from clipcache.vectors.base import ListedRows, VectorSet, check_matrix, check_width, in_one_line
from clipcache.vectors.keys import NumberKeys
from clipcache.vectors.labels import Names, check_count, number_labels
from clipcache.vectors.npy import DAMAGED
from clipcache.vectors.unit import faults, unit_rows

KEYS = ("pool_x", "pool_y", "test_x", "test_y", "class_names")

UNREADABLE = (*DAMAGED, TypeError, OSError, RuntimeError, MemoryError, BadZipFile, zlib.error)
"""Also zipfile's errors; a MemoryError comes of a shape that was never meant."""

Arrays = dict[str, npt.NDArray[Any]]


def open_npz(path: Path) -> VectorSet:
    """Read a .npz file into memory.

    pool_x, test_x : (n, d) floats, one vector a row.
    pool_y, test_y : (n,) integers, indices into class_names, -1 unknown.
    class_names : (c,) text.
    text_x : (c, d) floats, optional; a class without a vector has NaN throughout.

    Raises SourceError where an array is missing, cannot be read without pickle, or does not fit
    the others.
    """
    arrays = _load(path)
    pool, test = arrays["pool_x"], arrays["test_x"]
    for name in ("pool_x", "test_x"):
        check_matrix(arrays[name], f"{name} in {path}")
    check_width(test, f"test_x in {path}", pool.shape[1], "pool_x")
    names = _class_names(arrays["class_names"], f"class_names in {path}")
    labels = []
    for split in ("pool", "test"):
        found, _ = number_labels(arrays[f"{split}_y"], names, f"{split}_y in {path}")
        check_count(len(found), f"{split}_y in {path}", len(arrays[f"{split}_x"]), f"{split}_x")
        labels.append(found)
    keys = [*NumberKeys(len(pool), "pool/"), *NumberKeys(len(test), "test/")]
    text = _text(arrays["text_x"], names, pool.shape[1], path) if "text_x" in arrays else None
    rows = ListedRows(keys, np.concatenate(labels), names, held_out=len(pool))
    return VectorSet(path.name, (pool, test), rows, text)


def _load(path: Path) -> Arrays:
    """Return all arrays that we know by name."""
    name = "arrays"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            missing = [key for key in KEYS if key not in saved]
            if missing:
                raise SourceError(
                    f"{path} lacks {', '.join(missing)}: expected {', '.join(KEYS)} and perhaps "
                    f"text_x, found {', '.join(saved) or 'nothing'}"
                )
            arrays = {}
            for name in (*KEYS, "text_x"):
                if name in saved:
                    arrays[name] = saved[name]
            return arrays
    except UNREADABLE as error:
        raise SourceError(
            f"cannot read {name} in {path} ({in_one_line(error)}): expected plain arrays, saved "
            "by numpy.savez; text as numpy.array(names, dtype=str)"
        ) from error


def _class_names(values: npt.NDArray[Any], where: str) -> Names:
    """Return the class names; SourceError unless they are distinct words."""
    if values.ndim != 1 or values.dtype.kind != "U" or not len(values):
        raise SourceError(
            f"{where} has the shape {values.shape} and holds {values.dtype}: expected text, one "
            "name a class"
        )
    names = tuple(values.tolist())
    if len(set(names)) < len(names) or "" in names:
        wrong = next(name for name in names if not name or names.count(name) > 1)
        raise SourceError(f"{where} has {wrong!r} {names.count(wrong)} times: expected one each")
    return names


def _text(values: npt.NDArray[Any], names: Names, dim: int, path: Path) -> Vectors:
    """Return (c, d) float32 unit rows; SourceError for a row that is neither a vector nor NaN."""
    where = f"text_x in {path}"
    check_matrix(values, where)
    check_width(values, where, dim, "pool_x")
    check_count(len(names), "class_names", len(values), where)
    absent = np.isnan(values).all(axis=1)
    for name, fault in zip(names, np.where(absent, "", faults(values)), strict=True):
        if fault:
            raise SourceError(
                f"{where} cannot be used for the class {name!r}: {fault}; a class without a "
                "vector has NaN throughout"
            )
    text = np.full(values.shape, np.nan, dtype=np.float32)
    text[~absent] = unit_rows(values[~absent])
    return text
