"""What a run keeps of its fine-tuned encoders; without PyTorch, for runs that have none.

```
RUN/tuned/how.json            what was asked for
RUN/tuned/NNN.safetensors     the encoder after the labels of round NNN; the newest one
RUN/tuned/NNN.zarr            all images as it sees them
RUN/tuned/NNN.json            the seconds that both took
```
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Literal

from clipcache.durable import write_file
from clipcache.errors import RunError

Mode = Literal["fresh", "continue"]
"""Each round begins with the weights that the cache was made with, or with those of the last."""


@dataclass(frozen=True)
class Seconds:
    """What the encoder of one round took."""

    round: int
    train: float = 0.0
    """From the labels to the checkpoint; 0 where it was cut off before this was written down."""
    embed: float = 0.0
    """All images of the cache anew; what was left of them where it was cut off."""


class Kept:
    """The folder `tuned` of a run."""

    def __init__(self, run: Path) -> None:
        self.folder = run / "tuned"

    def checkpoint(self, number: int) -> Path:
        """Return where the encoder of a round is kept."""
        return self.folder / f"{number:03d}.safetensors"

    def cache(self, number: int) -> Path:
        """Return where the images are kept as that encoder sees them."""
        return self.folder / f"{number:03d}.zarr"

    def begin(self, how: Mapping[str, Any]) -> None:
        """Remember what was asked for, where that is new."""
        self.folder.mkdir(exist_ok=True)
        if not self._how.exists():
            write_file(self._how, json.dumps(how).encode())

    def check(self, how: Mapping[str, Any]) -> None:
        """Raise RunError where the run in this folder was begun in another way."""
        found = json.loads(self._how.read_bytes()) if self._how.exists() else {}
        if found != how:
            raise RunError(
                f"{self.folder.parent} was begun with {_words(found)}, but this is {_words(how)}; "
                "give the same options, or another folder"
            )

    @property
    def _how(self) -> Path:
        return self.folder / "how.json"

    def timed(self, seconds: Seconds) -> None:
        """Keep the seconds of a round."""
        write_file(self._seconds(seconds.round), json.dumps(vars(seconds)).encode())

    def seconds(self) -> list[Seconds]:
        """Return the seconds of all rounds, in order."""
        files = sorted(self.folder.glob("[0-9]*.json"))
        return [Seconds(**json.loads(file.read_bytes())) for file in files]

    def seconds_of(self, number: int) -> Seconds:
        """Return the seconds of one round, as far as they are known."""
        return next((s for s in self.seconds() if s.round == number), Seconds(number))

    def last_before(self, number: int) -> int | None:
        """Return the last round before this one that had an encoder of its own; None without."""
        return max((s.round for s in self.seconds() if s.round < number), default=None)

    def forget_before(self, number: int) -> None:
        """Remove encoders and caches of the rounds before this one."""
        for old in range(number):
            self.checkpoint(old).unlink(missing_ok=True)
            rmtree(self.cache(old), ignore_errors=True)

    def _seconds(self, number: int) -> Path:
        return self.folder / f"{number:03d}.json"


def is_tuned(run: Path) -> bool:
    """Whether the rounds of a run fine-tune."""
    return Kept(run).folder.exists()


def refuse_tuned(run: Path) -> None:
    """Raise RunError where the rounds of a run fine-tune, and this one would not."""
    if is_tuned(run):
        raise RunError(f"{run} was begun with --finetune; give it again, or name another folder")


def _words(how: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in how.items()) or "no --finetune"
