"""Finds images to label by words or by example: a rare class seldom turns up by itself."""

from functools import cached_property
from threading import Lock

import numpy as np

from clipcache.arrays import RowIds, Vectors
from clipcache.desk.suggestions import Card, Suggester
from clipcache.encoder_of import encoder_of
from clipcache.encoders.base import Encoder
from clipcache.errors import RunError
from clipcache.run import Run
from clipcache.search import of_words, search, templates_of


class Finder:
    """Any thread may ask it. Only images of the pool that nobody has labelled are found."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._suggester = Suggester(run)
        self._lock = Lock()

    def by_words(self, words: str, count: int) -> list[Card]:
        """Return the images that are nearest to some words, nearest first.

        The first question loads the encoder, which takes seconds. Raises EncoderError where the
        encoder of the cache cannot be had.
        """
        with self._lock:
            vector = of_words(self._encoder, words, self._templates)
            return self._nearest(vector, self._left(), count)

    def like(self, row: int, count: int) -> list[Card]:
        """Return the images that are nearest to one of the pool; RunError for any other row."""
        with self._lock:
            if row not in self._run.pool:
                raise RunError(f"row {row} is none of the images that are labelled here")
            vector = self._run.data.features[np.array([row])].astype(np.float32)[0]
            return self._nearest(
                vector, np.setdiff1d(self._left(), [row], assume_unique=True), count
            )

    def _nearest(self, vector: Vectors, rows: RowIds, count: int) -> list[Card]:
        found, _ = search(self._run.data.features, rows, vector, count)
        return self._suggester.cards(found.tolist())

    def _left(self) -> RowIds:
        return np.setdiff1d(self._run.pool, list(self._run.ballots.rows()), assume_unique=True)

    @cached_property
    def _encoder(self) -> Encoder:
        return encoder_of(self._run.cache.identity)

    @cached_property
    def _templates(self) -> tuple[str, ...]:
        return templates_of(self._run.cache)
