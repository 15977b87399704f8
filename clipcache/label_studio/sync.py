"""Both directions in turn: answers come home, the model learns, the next batch goes out."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from clipcache.desk.suggestions import Suggester
from clipcache.errors import ClipcacheError
from clipcache.label_studio.client import LabelStudio
from clipcache.label_studio.link import Link, answered_by_people
from clipcache.label_studio.pull import Pulled, pull
from clipcache.label_studio.push import Pushed, push
from clipcache.run import Run


@dataclass(frozen=True)
class Synced:
    """What a sync did, and how far the run is."""

    pulled: Pulled | None
    """None where there was no project yet."""
    labels: int
    """Images that have a label from people by now."""
    round: int | None
    """The last round that is closed; None before the first."""
    top1: float | None
    """Its accuracy, in [0, 1]; None where nothing can be measured."""
    top5: float | None
    pushed: Pushed
    stopped: str | None
    """Why no more labels are asked for; None while there is more to do."""

    @property
    def news(self) -> bool:
        """Whether anything was different from the last time."""
        pushed, pulled = self.pushed, self.pulled
        went = pushed.tasks or pushed.changed or pushed.predictions
        return bool(went or (pulled and (pulled.annotators or pulled.withdrawn)))


def sync(
    run: Run,
    studio: LabelStudio,
    wanted: str | None = None,
    images: str | None = None,
    *,
    suggester: Suggester | None = None,
    train: bool = False,
) -> Synced:
    """Pull, prepare the next batch where few images are left to label, and push.

    With `train`, it is also prepared where there is anything new to learn. Other arguments and
    errors are those of `push`.
    """
    answered_by_people(run)
    begun = Link.read(run.folder) is not None
    pulled = pull(run, studio, wanted) if begun else None
    keep_ahead(run, train=train)
    pushed = push(run, studio, wanted, images, suggester=suggester)
    rounds = run.store.rounds()
    last = rounds[-1] if rounds else None
    return Synced(
        pulled=pulled,
        labels=len(run.ballots.labels()),
        round=last.round if last else None,
        top1=_known(last.top1) if last else None,
        top5=_known(last.top5) if last else None,
        pushed=pushed,
        stopped=run.stopped(),
    )


def watch(
    once: Callable[[], Synced],
    seconds: float,
    *,
    on_sync: Callable[[Synced], None],
    say: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Sync, wait so many seconds, and again, until Ctrl-C.

    `on_sync` hears of each sync that had news. What fails the first time is raised, what fails
    later is told to `say` in one line, for a server that is away comes back.
    """
    first = True
    try:
        while True:
            try:
                synced = once()
                if first or synced.news:
                    on_sync(synced)
            except ClipcacheError as error:
                if first:
                    raise
                say(str(error))
            first = False
            sleep(seconds)
    except KeyboardInterrupt:
        return


def keep_ahead(run: Run, *, train: bool = False) -> None:
    """Prepare a batch once half of the last one is answered, so that nobody waits for a round.

    With `train`, any answer that the newest head has not learned is enough.
    """
    run.propose()
    few = len(run.open_rows()) <= len(run.store.batches()[-1]) // 2
    if few or (train and _new_labels(run)):
        run.prepare()


def _new_labels(run: Run) -> bool:
    """Tell whether somebody said something that the newest head has not learned."""
    rounds = run.store.rounds()
    return run.ballots.seen > (rounds[-1].seen if rounds else 0)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
