"""What is to be compared: arms, seeds, and what they are measured on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from clipcache.errors import RunError
from clipcache.run_config import RunConfig


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
    """Arms to be compared, all with the same seeds. Raises RunError where that makes no sense."""

    arms: tuple[Arm, ...]
    baseline: str
    """Name of the arm that the others are held against first."""
    seeds: int = 10
    eval_sizes: tuple[int | None, ...] = (None,)
    """On how many test images each round is measured; None is all of them. Several are measured in
    one run, as they change nothing of it."""
    target: float | None = None
    """Accuracy of which is told how many labels it takes, in [0, 1]; None is where the baseline
    ends."""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        for name, times in Counter(names).items():
            if times > 1:
                raise RunError(f"{times} arms are called {name!r}; give each a name of its own")
        if self.baseline not in names:
            raise RunError(f"no arm is called {self.baseline!r}; there are: {'; '.join(names)}")
        if len(set(self.eval_sizes)) < max(len(self.eval_sizes), 1):
            raise RunError("name each evaluation size once, and at least one")


def usual_baseline(arms: Sequence[Arm]) -> str:
    """Return who the others are held against where nobody says: random labels, if they are there.

    Else the traditional arm, else the first.
    """

    def rank(arm: Arm) -> int:
        return 1 if arm.traditional else 0 if arm.config.strategy == "random" else 2

    return min(arms, key=rank).name


def evaluation_name(size: int | None) -> str:
    """Return what an evaluation on so many images is called: "200", "all"."""
    return "all" if size is None else str(size)
