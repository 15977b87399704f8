"""Rounds that are prepared in the background, before anybody runs out of images.

A round that is prepared early learns without the last few labels. That costs nothing that could be
measured: learning without the last 3, or the last 7, of the labels that were asked for changed
top-1 at the same number of labels by -0.1 and -0.4 points (Pets), 0.0 and +0.1 (UCF101), +0.3 and
+0.2 (fashion) over 150 labels in rounds of 10 with the default recipe, four seeds.
"""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Condition, Thread

from clipcache.errors import ClipcacheError
from clipcache.run import Run
from clipcache.threads import one_thread

SAFETY = 2.0
"""How many times the images that people get through during a round are kept ready."""
FIRST_GUESS = 3.0
"""Seconds that a round takes, before one was measured."""
RETRY = 5.0
"""Seconds between two attempts, where a round failed."""


class Ahead:
    """A thread that prepares one batch more whenever few images are left."""

    def __init__(
        self,
        run: Run,
        left: Callable[[], int],
        speed: Callable[[], float],
        starved: Callable[[], bool],
    ) -> None:
        """Have the first images ready, which takes seconds, then work in the background.

        `left` says how many images nobody has taken yet, `speed` how many go in a second, `starved`
        whether somebody has nothing to look at.
        """
        self.busy = False
        """Whether a round is being prepared."""
        self.problem: str | None = None
        """What went wrong last time."""
        self._run, self._left, self._speed, self._starved = run, left, speed, starved
        self._seconds = FIRST_GUESS
        self._heard = -1  # entries of the history that the last round knew
        self._nothing_left = self._over = False
        self._closed = False
        self._news = Condition()
        self._looked = False
        # With limits that came and went between requests and rounds, rounds took twice as long
        # while eight people labelled: idle threads of matrix libraries spin.
        self._limit = ExitStack()
        self._limit.enter_context(one_thread())
        self._rehearse()
        self._thread = Thread(target=self._work, name="prepare", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Say that something has changed: labels came, or images were taken."""
        with self._news:
            self._looked = True
            self._news.notify_all()

    def close(self) -> None:
        """End the thread, after the round that it may be preparing."""
        with self._news:
            self._closed = True
            self._news.notify_all()
        self._thread.join()
        self._limit.close()

    def _work(self) -> None:
        while not self._closed:
            self._look_after()
            with self._news:
                if not self._looked and not self._closed:
                    self._news.wait(RETRY)
                self._looked = False

    def _look_after(self) -> None:
        """Prepare a batch where one is wanted; a fault is told, and looked at again later."""
        try:
            if self._wanted():
                self._prepare()
        except ClipcacheError as error:
            self.problem = str(error)
        except Exception as error:  # a thread that dies would leave people waiting for ever
            self.problem = f"{type(error).__name__}: {error}"
        finally:
            self.busy = False

    def _rehearse(self) -> None:
        """Have the first images ready, then do a round for nothing: the first one is slow."""
        try:
            if not self._run.batches:
                self._prepare()
            self._run.rehearse()
        except ClipcacheError as error:
            self.problem = str(error)
        finally:
            self.busy = False

    def _wanted(self) -> bool:
        """Whether to prepare a batch: few images are left, and there is something to learn.

        Where nothing is left for somebody, another batch comes even without news. When nothing is
        left to choose, the last round waits until all that was asked is answered.
        """
        if self._over:
            return False
        if self._nothing_left:
            return not len(self._run.open_rows())
        news = self._run.ballots.seen > self._heard and self._informed()
        left = self._left()
        return left <= self._needed() and (news or (not left and self._starved()))

    def _informed(self) -> bool:
        """Whether half of the first images are answered: less would teach a round too little."""
        first = self._run.batches[:1]
        return bool(first) and 2 * len(self._run.ballots.rows()) >= len(first[0])

    def _needed(self) -> int:
        """Return how many images people get through while a round is prepared, and some more."""
        return 1 + math.ceil(SAFETY * self._seconds * self._speed())

    def _prepare(self) -> None:
        self.busy, began = True, time.monotonic()
        heard = self._run.ballots.seen
        batch = self._run.prepare(max(self._run.config.batch, self._needed()))
        rounds = self._run.store.rounds()  # the last one may know what came after `heard` was read
        self._heard = max(heard, rounds[-1].seen if rounds else 0)
        self.problem = None
        self._nothing_left = not len(batch)
        self._over = self._nothing_left and self._run.closed()
        self._seconds = time.monotonic() - began
        self.look()  # people may be faster than one batch
