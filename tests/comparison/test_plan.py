"""Arms of a grid, what they are called, and plans that make no sense."""

from dataclasses import replace

import pytest

from clipcache.comparison.grid import Grid, recipes
from clipcache.comparison.plan import Arm, Plan, evaluation_name, usual_baseline
from clipcache.errors import RunError
from clipcache.run_config import RunConfig

COMMON = RunConfig(batch=7, rounds=2, label_noise=0.1)


def named(grid: Grid) -> dict[str, Arm]:
    return {arm.name: arm for arm in grid.arms(COMMON)}


def test_every_combination_is_an_arm_and_only_what_differs_is_named() -> None:
    arms = named(Grid(("margin", "entropy"), ("linear",), (None, 300), ("random:9",)))
    assert list(arms) == [
        "margin, full pool",
        "margin, 300 images",
        "entropy, full pool",
        "entropy, 300 images",
    ]
    assert arms["entropy, 300 images"].config == replace(
        COMMON, strategy="entropy", head="linear", subsample=300, init="random:9"
    )
    more = named(Grid(("margin",), ("linear", "auto"), (None,), ("kmeans", "random:9")))
    assert list(more) == [
        "margin, linear, kmeans start",
        "margin, linear, random:9 start",
        "margin, auto, kmeans start",
        "margin, auto, random:9 start",
    ]
    assert list(named(Grid(("margin",)))) == ["margin"]


def test_random_labels_have_one_arm_whatever_is_scored() -> None:
    arms = named(Grid(("random", "margin"), pools=(300, None)))
    assert list(arms) == ["random", "margin, 300 images", "margin, full pool"]
    assert arms["random"].config.subsample is None


def test_the_traditional_arm_is_there_for_each_head_and_start() -> None:
    arms = named(Grid(("margin",), ("linear", "auto"), (None, 300), traditional=True))
    assert [name for name, arm in arms.items() if arm.traditional] == [
        "traditional, linear",
        "traditional, auto",
    ]
    assert arms["traditional, auto"].config == replace(COMMON, strategy="random", head="auto")


def test_what_is_given_twice_is_one_arm() -> None:
    assert len(Grid(("margin", "margin"), pools=(None, None)).arms(COMMON)) == 1


def test_recipes_share_what_is_common_and_have_a_baseline() -> None:
    arms = recipes(COMMON)
    assert arms[0].config == COMMON
    assert all((a.config.batch, a.config.label_noise) == (7, 0.1) for a in arms)
    assert usual_baseline(arms) == "random, linear"


def test_random_labels_are_the_usual_baseline_then_the_traditional_arm() -> None:
    margin, random = Arm("m", RunConfig("margin")), Arm("r", RunConfig("random"))
    traditional = Arm("t", RunConfig("random"), traditional=True)
    assert usual_baseline([margin, traditional, random]) == "r"
    assert usual_baseline([margin, traditional]) == "t"
    assert usual_baseline([margin]) == "m"


def test_plans_that_make_no_sense_are_refused() -> None:
    arm = Arm("margin", COMMON)
    with pytest.raises(RunError, match="2 arms are called 'margin'; give each a name"):
        Plan((arm, replace(arm, traditional=True)), "margin")
    with pytest.raises(RunError, match="no arm is called 'random'; there are: margin"):
        Plan((arm,), "random")
    with pytest.raises(RunError, match="each evaluation size once"):
        Plan((arm,), "margin", eval_sizes=(200, 200))
    with pytest.raises(RunError, match="at least one"):
        Plan((arm,), "margin", eval_sizes=())


def test_evaluations_have_names() -> None:
    assert (evaluation_name(None), evaluation_name(200)) == ("all", "200")
