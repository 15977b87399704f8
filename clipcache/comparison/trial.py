"""One arm with one seed on one cache: what it asked for and what it measured."""

from dataclasses import dataclass

METRICS = ("top1", "top5", "macro_recall", "tail_recall", "head_recall", "ece")
"""What is measured on the evaluation images of each round, each in [0, 1]."""


@dataclass(frozen=True)
class Trial:
    """The rounds of one run, first to last."""

    labels: tuple[int, ...]
    """Labels that had been given when the round closed."""
    seconds: tuple[float, ...]
    """Time to fit, score and select."""
    batches: tuple[tuple[int, ...], ...]
    """Rows of the cache that the round asked for; round 0 is the start."""
    measured: dict[str, dict[str, tuple[float, ...]]]
    """Evaluation ("all", "200") -> metric -> its value in each round."""
    stopped: str
    """Why there were no more rounds."""
