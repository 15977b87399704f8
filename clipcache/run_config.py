"""Everything that decides which images a run asks for."""

from dataclasses import asdict, dataclass
from typing import Literal, Self

import numpy as np

EVALUATION, START, SUBSAMPLE, SELECTION, FIT, SAMPLE, HELD_OUT, CALIBRATION = range(8)
"""What a random generator is for: each purpose and round has its own, so that runs with one seed
share their start and their evaluation images, whatever else differs."""

WHILE_THEY_LIKE = 10**6
"""Rounds of a run in which people answer: they stop when they have had enough."""


@dataclass(frozen=True)
class RunConfig:
    """Frozen when the run begins."""

    strategy: str = "default"
    head: str = "auto"
    subsample: int | None = None
    """Score only so many random images a round; None scores the full pool."""
    init: str = "kmeans"
    batch: int = 10
    rounds: int = 10
    seed: int = 0
    eval_size: int | None = None
    """Evaluate on so many images drawn from the test split; None takes all of them."""
    train_on: Literal["all", "latest"] = "all"
    head_start: Literal["fresh", "continue"] = "fresh"
    label_noise: float = 0.0
    """Share of wrong answers of the replayed oracle."""
    stop: str = "budget"
    """Rules that may end the run before its rounds are used up, as in `stopping.parse`."""
    asks: Literal["replay", "unlabeled", "all"] = "replay"
    """Who answers, and about what. "replay": the labels that the cache has. People: about the
    images that have none, while those that have one teach from the start ("unlabeled"); about
    every image, whatever the cache says ("all")."""
    per_image: int = 1
    """How many people look at each image."""
    held_out: int = 0
    """So many random images are labelled by people to measure on, and never teach."""

    @property
    def people(self) -> bool:
        """Whether people answer."""
        return self.asks != "replay"

    def rng(self, purpose: int, number: int) -> np.random.Generator:
        """Return the random generator of one purpose in one round."""
        return np.random.default_rng((self.seed, purpose, number))

    def differences(self, other: Self) -> list[str]:
        """Name the fields in which two configurations differ, with both values."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name} {theirs[name]} instead of {mine[name]}"
            for name in mine
            if mine[name] != theirs[name]
        ]
