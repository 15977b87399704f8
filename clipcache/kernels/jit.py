"""Numba's flags, in one place.

No `fastmath`: it lets the compiler assume that NaN and infinity do not exist, and our checks need
them. Signatures stay lazy, because eager ones refuse read-only arrays, which memory maps are.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numba
from numba.extending import intrinsic

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, and keep the machine code for the next process where possible."""
    try:
        return _compile(function, cache=True)
    except RuntimeError:  # neither the package nor the user's own cache folder can be written
        return _compile(function, cache=False)


def instructions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that writes LLVM instructions into the kernels that call it."""
    written: Callable[..., Any] = intrinsic(function)
    return written


def interpreted() -> bool:
    """Return whether the compiler is turned off (NUMBA_DISABLE_JIT)."""
    return bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]


def _compile(function: Callable[P, R], *, cache: bool) -> Callable[P, R]:
    compiled: Callable[P, R] = numba.njit(cache=cache, nogil=True, error_model="numpy")(function)
    return compiled
