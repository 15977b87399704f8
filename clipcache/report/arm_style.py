"""How arms are told apart in plots: colour for what they choose by, dashes for the rest."""

from typing import NamedTuple

from clipcache.comparison.plan import Arm, Plan
from clipcache.comparison.questions import options
from clipcache.report.plots import COLORS

NEUTRAL = "#666666"
"""Of the random strategy: what the others are held against."""
PALETTE = (*(c for c in COLORS if c != NEUTRAL), "#b8860b", "#3aa0d8", "#7a5195", "#8c564b")
DARK = ("#1c1c1c", "#6b1d2c", "#1f3a63", "#23492b")
"""Of traditional arms."""
DASHES: tuple[str | tuple[float, tuple[float, ...]], ...] = (
    "solid",
    (0, (4, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1.5, 1.2, 1.5)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
LEADING = ("strategy", "head", "init")
"""The first of these in which arms differ gives the colour."""


class Style(NamedTuple):
    """Of one arm, in all plots."""

    color: str
    dash: str | tuple[float, tuple[float, ...]]
    marker: str


def styles(plan: Plan) -> dict[str, Style]:
    """Return the style of each arm; traditional ones are dark and dotted, a single one black.

    The first kind of pool, head and so on is drawn solid, the next dashed. With more kinds than
    colours or dashes the markers go on telling them apart.
    """
    rounds = [arm for arm in plan.arms if not arm.traditional]
    leading = [name for name in LEADING if len({options(arm)[name] for arm in rounds}) > 1]
    key = leading[0] if leading else "subsample"
    kinds = list(dict.fromkeys(options(arm)[key] for arm in rounds))
    rest = list(dict.fromkeys(_rest(arm, key) for arm in rounds))
    colored = [kind for kind in kinds if kind != "random"]
    traditional = [arm.name for arm in plan.arms if arm.traditional]
    found = {}
    for arm in plan.arms:
        if arm.traditional:
            number = traditional.index(arm.name)
            marker = MARKERS[(number + 3) % len(MARKERS)]  # the first has diamonds
            found[arm.name] = Style(DARK[number % len(DARK)], DASHES[2], marker)
            continue
        kind = options(arm)[key]
        number = -1 if kind == "random" else colored.index(kind)
        other = rest.index(_rest(arm, key))
        color = NEUTRAL if number < 0 else PALETTE[number % len(PALETTE)]
        marker = MARKERS[(max(number, 0) // len(PALETTE) + other) % len(MARKERS)]
        found[arm.name] = Style(color, DASHES[other % len(DASHES)], marker)
    return found


def _rest(arm: Arm, key: str) -> str:
    return str({name: value for name, value in options(arm).items() if name != key})
