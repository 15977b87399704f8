"""The folder that `clip-retrieval inference` writes: vectors in parts, and a table for each.

```
FOLDER/img_emb/img_emb_00.npy           (n, d) vectors
FOLDER/metadata/metadata_00.parquet     image_path, perhaps caption, and what else the user had
FOLDER/text_emb/text_emb_00.npy         vectors of captions, not of classes: never read
```
"""

from pathlib import Path

import numpy as np

from clipcache.arrays import Labels
from clipcache.errors import SourceError
from clipcache.vectors.base import ListedRows, VectorSet, check_width
from clipcache.vectors.keys import UniqueKeys
from clipcache.vectors.labels import Names, check_count, name_labels, number_labels
from clipcache.vectors.npy import NpyFile
from clipcache.vectors.parquet import ParquetColumn, look

TEXT = {"string", "large_string", "string_view", "null"}
INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "null"}


def open_clip_retrieval(
    path: Path, key_column: str, label_column: str | None, names: Names | None
) -> VectorSet:
    """Return what a folder of clip-retrieval holds; the vectors stay on disk.

    `key_column` says what a row is called; `label_column`, where given, holds class names, or
    integers that count in `names`. Raises SourceError where a part is missing or does not fit.
    """
    images, tables = _parts(path)
    blocks = tuple(map(NpyFile.open, images))
    types = set()
    for block, table in zip(blocks, tables, strict=True):
        check_width(block, str(block.path), blocks[0].shape[1], str(blocks[0].path))
        shape = look(table)
        check_count(shape.rows, str(table), block.shape[0], str(block.path))
        for column in (key_column, *([label_column] if label_column else [])):
            if column not in shape.columns:
                raise SourceError(
                    f"{table} has no column {column!r}; there are: {', '.join(shape.columns)}"
                )
        types.add(shape.columns.get(label_column or ""))
    keys = UniqueKeys(ParquetColumn(tables, key_column))
    if label_column:
        labels, names = _labels(ParquetColumn(tables, label_column), types, names)
    else:
        labels = np.full(sum(block.shape[0] for block in blocks), -1, dtype=np.int64)
    return VectorSet(path.resolve().name, blocks, ListedRows(keys, labels, names or ()))


def _parts(path: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the files with vectors and those with their tables, both in the order of parts."""
    images = _numbered(path / "img_emb", "img_emb_", ".npy")
    tables = _numbered(path / "metadata", "metadata_", ".parquet")
    if not images:
        raise SourceError(
            f"{path} has no img_emb/img_emb_*.npy: expected a folder of clip-retrieval, or name a "
            ".npz or .npy file"
        )
    if images.keys() != tables.keys():
        odd = min(images.keys() ^ tables.keys())
        has, lacks = ("img_emb", "metadata") if odd in images else ("metadata", "img_emb")
        raise SourceError(
            f"{path} has {has}/{has}_{odd}, but no {lacks} of that number: was it copied in part?"
        )
    order = sorted(images, key=lambda number: (len(number), number))  # 9 before 10
    return tuple(images[number] for number in order), tuple(tables[number] for number in order)


def _numbered(folder: Path, prefix: str, suffix: str) -> dict[str, Path]:
    """Return the files of a folder by what stands for the asterisk of prefix*suffix."""
    return {
        file.name.removeprefix(prefix).removesuffix(suffix): file
        for file in folder.glob(f"{prefix}*{suffix}")
    }


def _labels(
    column: ParquetColumn, types: set[str | None], names: Names | None
) -> tuple[Labels, Names]:
    """Return labels and class names by what the column holds in all files."""
    where = f"the column {column.column!r} of {column.paths[0].parent}"
    if types <= TEXT:
        return name_labels(column, names, where)
    if types <= INTEGERS:
        values = np.fromiter((int(v) if v else -1 for v in column), dtype=np.int64)
        return number_labels(values, names, where)
    raise SourceError(
        f"{where} holds {', '.join(sorted(map(str, types)))}: expected class names or integers"
    )
