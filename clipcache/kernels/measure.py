"""A measure: what turns a block of logits into scores, and how far a score can be off.

The second half is what makes fast and exact possible together: whoever knows how far the logits
may be off can tell which rows still matter, and ask only about those in float64.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clipcache.arrays import Floats


@dataclass(frozen=True)
class Measure:
    """A kernel from (b, c) logits to (b,) scores; higher means sooner."""

    name: str
    kernel: Callable[[Floats], tuple[Floats, Floats]] = field(repr=False)
    """From logits to scores and to the probability of each row's likeliest class. Works in the
    precision of the logits, float32 or float64, and sweeps class by class, so that logits in
    Fortran order are read in order and many rows are worked on at a time."""
    rise: Callable[[float, Floats, int], Floats | float] = field(repr=False)
    """(error, p1, c) -> how much a score can change when each of c logits changes by up to `error`
    and the likeliest class stays below p1."""

    members: int = 1
    """Heads whose logits lie side by side, c each."""

    def __call__(self, logits: Floats) -> Floats:
        """Return the scores of (b, c) logits, in their precision."""
        return self.kernel(logits)[0]

    def slack(self, error: float, likeliest: Any, classes: int) -> Any:
        """Return how far float32 scores may lie from the exact ones.

        Parameters
        ----------
        error : how far any of the logits may lie from the exact one.
        likeliest : (b,) float32 probability of each row's likeliest class, as the kernel gave it.
        classes : c, the number of logits a row.

        A kernel's own float32 rounding (an exponential within 2^-22 of itself, c additions, a few
        steps after them) moves a probability by no more than a change of (c + 32) 2^-23 in each
        logit would, so it is counted as such; 2^-23 is for the score itself and its interval.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # far off is infinitely far off
            error = np.float64(error) + (classes + 32) * 2.0**-23
            grown = likeliest * float(np.exp(2 * error))
            return self.rise(float(error), grown, classes) + 2.0**-23
