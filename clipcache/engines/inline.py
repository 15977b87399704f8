"""The engine of one machine and one process: this one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from clipcache.encoders.base import Encoder
from clipcache.engines.work import Seen, Task, Unit, do_chunks


@dataclass(frozen=True)
class Inline:
    """Does chunks one after the other, with an encoder that is here already."""

    encoder: Encoder

    def run(self, task: Task, units: Iterable[Unit]) -> Iterator[Seen]:
        """Do each unit once; what goes wrong is raised as `do_chunks` does."""
        return do_chunks(task, self.encoder, units)
