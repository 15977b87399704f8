"""How arms look in plots: no two the same."""

from dataclasses import replace
from itertools import combinations

from clipcache.comparison.plan import Arm, Plan
from clipcache.report.arm_style import styles
from clipcache.run_config import RunConfig

CONFIG = RunConfig("margin", "linear", init="random:20")
TRADITIONAL = [
    Arm(f"traditional, {head}, {init}", replace(CONFIG, head=head, init=init), traditional=True)
    for head in ("linear", "auto", "text_prior")
    for init in ("random:20", "random:40", "stratified:1", "kmeans")
]


def test_no_two_arms_look_the_same() -> None:
    rounds = [Arm(head, replace(CONFIG, head=head)) for head in ("linear", "auto")]
    for arms in ([*rounds, *TRADITIONAL], TRADITIONAL[:2], [*rounds, TRADITIONAL[5]]):
        looks = styles(Plan(tuple(arms), arms[0].name))
        assert list(looks) == [arm.name for arm in arms]
        for one, other in combinations(looks.values(), 2):
            assert one != other


def test_arms_without_rounds_are_dark_and_dotted() -> None:
    looks = styles(Plan((Arm("margin", CONFIG), *TRADITIONAL), "margin"))
    for arm in TRADITIONAL:
        color, dash, _ = looks[arm.name]
        assert dash == (0, (1.2, 1.2))
        assert max(int(color[i : i + 2], 16) for i in (1, 3, 5)) < 0x70
