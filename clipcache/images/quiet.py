"""Pillow's warnings, kept from the user while an image is decoded.

Pillow warns about files that are odd but readable, and about sizes that `decode` checks by itself.
Warning filters belong to the whole process, so decoding threads share one change of them: the first
one in makes it, the last one out takes it back.
"""

import warnings
from threading import Lock


class Quiet:
    """A context in which warnings from Pillow are ignored; threads may be in it together."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)


quiet = Quiet()
"""The one of the process: `with quiet: ...`"""
