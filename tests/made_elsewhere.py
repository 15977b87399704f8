"""Embeddings as other programs leave them: clouds around class centres, of no particular length."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

DIM = 16
NAMES = ("coat", "hat", "shoe")

Array = npt.NDArray[Any]


def clouds(n: int, seed: int = 0, dtype: str = "float32") -> tuple[Array, Array]:
    """(n, 16) vectors and (n,) classes."""
    centers = np.random.default_rng(99).standard_normal((len(NAMES), DIM))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(NAMES), n)
    vectors = centers[labels] + 0.8 * rng.standard_normal((n, DIM))
    return (vectors * rng.uniform(0.1, 30, (n, 1))).astype(dtype), labels


def text_vectors() -> Array:
    """(3, 16); the hat has none."""
    text = 7 * np.random.default_rng(99).standard_normal((len(NAMES), DIM))
    text[1] = np.nan
    return text


def arrays(pool: int = 60, test: int = 20, **changed: Any) -> dict[str, Array]:
    """What a .npz file holds; None takes an array out."""
    pool_x, pool_y = clouds(pool)
    test_x, test_y = clouds(test, seed=1)
    pool_y[::7] = -1
    found = {
        "pool_x": pool_x,
        "pool_y": pool_y,
        "test_x": test_x,
        "test_y": test_y,
        "class_names": np.array(NAMES),
    } | changed
    return {name: array for name, array in found.items() if array is not None}


def npz(path: Path, **changed: Any) -> Path:
    np.savez(path, **arrays(**changed))
    return path


def npy(path: Path, array: Array) -> Path:
    np.save(path, array)
    return path


def lines(path: Path, values: list[str]) -> Path:
    path.write_text("".join(f"{value}\n" for value in values))
    return path


def clip_retrieval(folder: Path, sizes: tuple[int, ...] = (30, 25), **columns: list[Any]) -> Path:
    """A folder with so many rows a part; columns beside image_path are given for all rows."""
    for name in ("img_emb", "metadata", "text_emb"):
        (folder / name).mkdir(parents=True)
    vectors, labels = clouds(sum(sizes), dtype="float16")
    table = {
        "image_path": [f"{row:05d}.jpg" for row in range(len(vectors))],
        "caption": ["what others wrote"] * len(vectors),
        "class": [NAMES[label] for label in labels],
    } | columns
    first = 0
    for part, size in enumerate(sizes):
        rows = slice(first, first + size)
        npy(folder / "img_emb" / f"img_emb_{part}.npy", vectors[rows])
        npy(folder / "text_emb" / f"text_emb_{part}.npy", np.ones((size, DIM + 1)))
        mine = pa.table({name: values[rows] for name, values in table.items()})
        pq.write_table(mine, folder / "metadata" / f"metadata_{part}.parquet")
        first += size
    return folder
