"""Vectors in a .npy file, which stays on disk."""

from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from clipcache.errors import SourceError
from clipcache.vectors.base import Raw, check_matrix, in_one_line

DAMAGED = (ValueError, EOFError, OverflowError, SyntaxError, TokenError)
"""What NumPy raises of a file that is not as it should be; its header is a line of Python."""


@dataclass(frozen=True)
class NpyFile:
    """The rows of a .npy file.

    The file is opened for each piece and closed again: a folder may hold more of them than a
    process may have open.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Look at a file; SourceError unless it holds vectors."""
        mapped = load_npy(path)
        check_matrix(mapped, str(path))
        return cls(path, mapped.shape, mapped.dtype)

    def __getitem__(self, rows: slice, /) -> Raw:
        """Return some consecutive rows, mapped; SourceError where the file is now another."""
        mapped = load_npy(self.path)
        if (mapped.shape, mapped.dtype) != (self.shape, self.dtype):
            raise SourceError(f"{self.path} has changed while it was read; run this again")
        piece: Raw = mapped[rows]
        return piece


def load_npy(path: Path) -> npt.NDArray[Any]:
    """Return the array in a .npy file, mapped; SourceError where there is none to be had."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except DAMAGED as error:
        raise SourceError(
            f"{path} cannot be read as a .npy file ({in_one_line(error)}): expected plain numbers, "
            "saved by numpy.save"
        ) from error
    except OSError as error:
        raise SourceError(
            f"cannot read {path} ({error.strerror or error}): expected a .npy file"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise SourceError(f"{path} is a .npz file by another name: call it .npz")
    return array
