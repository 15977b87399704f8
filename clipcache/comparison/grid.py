"""Arms that nobody has to write down: every combination of some choices, or known recipes."""

from dataclasses import dataclass, replace
from itertools import product

from clipcache.comparison.plan import Arm
from clipcache.run_config import RunConfig

DEFAULTS = RunConfig()


@dataclass(frozen=True)
class Grid:
    """Each strategy with each head, pool and start."""

    strategies: tuple[str, ...] = ("default", "margin", "random")
    heads: tuple[str, ...] = (DEFAULTS.head,)
    pools: tuple[int | None, ...] = (None,)
    """Random images that a round scores; None is the full pool."""
    inits: tuple[str, ...] = (DEFAULTS.init,)
    traditional: bool = False
    """Add the traditional arm for each head and start."""

    def arms(self, common: RunConfig) -> tuple[Arm, ...]:
        """Return the arms, alike in everything else; named by strategy and what else differs.

        Random labels do not depend on the pool that is scored, so they have one arm for all.
        """
        found = []
        for strategy, head, pool, init in product(
            self.strategies, self.heads, self.pools, self.inits
        ):
            scored = None if strategy == "random" else pool
            config = replace(common, strategy=strategy, head=head, subsample=scored, init=init)
            found.append(Arm(self._name(strategy, config), config))
        if self.traditional:
            for head, init in product(self.heads, self.inits):
                config = replace(common, strategy="random", head=head, init=init)
                found.append(Arm(self._name("traditional", config), config, traditional=True))
        return tuple(dict.fromkeys(found))

    def _name(self, first: str, config: RunConfig) -> str:
        parts = [first]
        if len(self.heads) > 1:
            parts.append(config.head)
        if len(self.pools) > 1 and config.strategy != "random":
            parts.append("full pool" if config.subsample is None else f"{config.subsample} images")
        if len(self.inits) > 1:
            parts.append(f"{config.init} start")
        return ", ".join(parts)


def recipes(common: RunConfig) -> tuple[Arm, ...]:
    """Return what is compared where nothing is asked for: whether the defaults save labels here.

    Beside them random labels and the report's margins of 300 images, both with a linear probe.
    Their first labels are random too: nobody knows the classes of a new pool.
    """
    random = _random_probe(common)
    return (
        Arm("defaults", common),
        Arm("margin of 300, linear", replace(random, strategy="margin", subsample=300)),
        Arm("random, linear", random),
    )


def traditional_recipe(common: RunConfig) -> Arm:
    """Return the traditional arm with the head and the start of the random labels in `recipes`."""
    return Arm("traditional, linear", _random_probe(common), traditional=True)


def _random_probe(common: RunConfig) -> RunConfig:
    return replace(common, strategy="random", head="linear", init="random")
