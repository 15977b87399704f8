"""What is to be compared: arms, seeds, and what they are measured on."""

from dataclasses import dataclass

from clipcache.run_folder import RunConfig


@dataclass(frozen=True)
class Arm:
    """One way to choose labels and to learn from them."""

    name: str
    """Told apart by it in tables and plots: "margin, full pool"."""
    config: RunConfig
    """Its seed is replaced by each of the plan's, its `eval_size` by those of the plan."""
    traditional: bool = False
    """Each number of labels is a sample and a model of its own, as if there were no rounds: a fresh
    start and fresh random rows; the strategy is not asked (the report, section 5.2)."""


@dataclass(frozen=True)
class Plan:
    """Arms to be compared, all with the same seeds."""

    arms: tuple[Arm, ...]
    baseline: str
    """Name of the arm that the others are held against first."""
    seeds: int = 10
    eval_sizes: tuple[int | None, ...] = (None,)
    """On how many test images each round is measured; None is all of them. Several are measured in
    one run, as they change nothing of it."""
    target: float | None = None
    """Accuracy whose cost in labels is told, in [0, 1]; None is the last one of the baseline."""
