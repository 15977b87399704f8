"""Numba's flags, in one place.

No `fastmath`: it lets the compiler assume that NaN and infinity do not exist, and our checks need
them. Signatures stay lazy, because eager ones refuse read-only arrays, which memory maps are.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import numba
from numba.extending import intrinsic
from platformdirs import user_cache_dir

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile at the first call, and keep the machine code for the next process where possible."""
    try:
        with _kept_for_the_user():
            return _compile(function, cache=True)
    except RuntimeError:  # no folder can be written
        return _compile(function, cache=False)


def instructions(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function that writes LLVM instructions into the kernels that call it."""
    written: Callable[..., Any] = intrinsic(function)
    return written


def interpreted() -> bool:
    """Return whether the compiler is turned off (NUMBA_DISABLE_JIT)."""
    return bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]


@contextmanager
def _kept_for_the_user() -> Iterator[None]:
    """Let Numba keep what it compiles in the user's cache folder, or where NUMBA_CACHE_DIR says.

    Beside the code, as it would, pip finds files that it did not bring: they stay when it removes
    the package, and their folder then hides an editable install of the same name.
    """
    config: Any = numba.config
    given = config.CACHE_DIR
    config.CACHE_DIR = given or user_cache_dir("clipcache")
    try:
        yield
    finally:
        config.CACHE_DIR = given


def _compile(function: Callable[P, R], *, cache: bool) -> Callable[P, R]:
    compiled: Callable[P, R] = numba.njit(cache=cache, nogil=True, error_model="numpy")(function)
    return compiled
