"""A source whose images may end the process that reads them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from clipcache.images.folder import Folder


@dataclass(frozen=True)
class Deadly(Folder):
    """Reading an image whose file name is in `fatal` kills the process, until it has done so often.

    How often it was is counted in files, since no process lives to tell.
    """

    fatal: frozenset[str] = frozenset()
    times: int = 1
    diary: Path = Path()

    def read(self, key: str) -> bytes:
        name = Path(key).name
        if name in self.fatal:
            deaths = len(list(self.diary.glob(f"{name} *")))
            if deaths < self.times:
                (self.diary / f"{name} {deaths}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().read(key)
