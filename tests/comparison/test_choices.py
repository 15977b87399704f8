"""What somebody writes in a TOML file, and the plan that comes out."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from clipcache.comparison import choices
from clipcache.comparison.choices import PRESETS, plan_of, read_toml
from clipcache.comparison.grid import recipes
from clipcache.comparison.plan import Arm, Plan
from clipcache.errors import RunError
from clipcache.run_config import RunConfig

FILE = """
strategies = ["margin", "random"]
heads = ["linear"]
pools = ["full", 300]
inits = ["stratified:3"]
batch = 20
label_noise = 0.1
traditional = true
baseline = "traditional"
seeds = 4
eval_sizes = ["all", 200]
target = 0.9

[[arm]]
name = "cautious"
strategy = "entropy"
subsample = 50
label_noise = 0
stop = "plateau"

[[arm]]
name = "no rounds"
head = "linear"
subsample = "full"
traditional = true
"""


def plan(text: str, tmp_path: Path) -> Plan:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return plan_of(read_toml(path), str(path))


def test_a_file_with_every_kind_of_key(tmp_path: Path) -> None:
    found = plan(FILE, tmp_path)
    of_grid = {"head": "linear", "init": "stratified:3", "batch": 20, "label_noise": 0.1}
    assert found == Plan(
        (
            Arm("margin, full pool", RunConfig("margin", **of_grid)),
            Arm("margin, 300 images", RunConfig("margin", subsample=300, **of_grid)),
            Arm("random", RunConfig("random", **of_grid)),
            Arm("traditional", RunConfig("random", **of_grid), traditional=True),
            Arm("cautious", RunConfig("entropy", subsample=50, batch=20, stop="plateau")),
            Arm(
                "no rounds",
                RunConfig(head="linear", batch=20, label_noise=0.1),
                traditional=True,
            ),
        ),
        "traditional",
        seeds=4,
        eval_sizes=(None, 200),
        target=0.9,
    )


def test_arms_alone_make_no_grid(tmp_path: Path) -> None:
    found = plan('rounds = 3\n[[arm]]\nname = "mine"\nstrategy = "badge"\n', tmp_path)
    assert found == Plan((Arm("mine", RunConfig("badge", rounds=3)),), "mine")


def test_nothing_chosen_compares_the_recipes() -> None:
    assert plan_of({}, "options") == Plan(recipes(RunConfig()), "random, linear")
    assert plan_of({"batch": 3}, "options").arms == recipes(RunConfig(batch=3))


def test_one_choice_makes_a_grid() -> None:
    names = [arm.name for arm in plan_of({"heads": ["auto", "linear"]}, "options").arms]
    assert len(names) == 6
    assert {"default, auto", "margin, linear", "random, auto"} <= set(names)
    with_it = plan_of({"heads": ["auto"], "traditional": True}, "options")
    assert [arm.name for arm in with_it.arms][-1] == "traditional"


def test_the_traditional_arm_comes_to_the_recipes_and_to_arms_of_ones_own() -> None:
    probe = RunConfig("random", "linear", init="random", batch=3)
    arm = Arm("traditional, linear", probe, traditional=True)
    found = plan_of({"traditional": True, "batch": 3}, "options")
    assert found == Plan((*recipes(RunConfig(batch=3)), arm), "random, linear")
    mine = plan_of({"traditional": True, "batch": 3, "arm": [{"name": "mine"}]}, "options")
    assert mine == Plan((Arm("mine", RunConfig(batch=3)), arm), "traditional, linear")
    assert plan_of({"traditional": False}, "options") == plan_of({}, "options")


def test_shares_are_the_same_with_and_without_a_point(tmp_path: Path) -> None:
    found = [
        plan(f"label_noise = {x}\ntarget = {x}\n[[arm]]\nname = 'a'\nlabel_noise = {x}", tmp_path)
        for x in ("0", "0.0")
    ]
    kept = [json.dumps(asdict(each)) for each in found]
    assert kept[0] == kept[1]


def test_the_report_is_four_measures_on_two_pools_beside_the_traditional_arm() -> None:
    found = plan_of(PRESETS["report"], "options")
    assert [arm.name for arm in found.arms] == [
        "margin, full pool",
        "margin, 300 images",
        "least_confidence, full pool",
        "least_confidence, 300 images",
        "entropy, full pool",
        "entropy, 300 images",
        "random",
        "traditional",
    ]
    assert (found.baseline, found.seeds, found.eval_sizes) == ("traditional", 10, (200, None))
    for arm in found.arms:
        c = arm.config
        assert (c.head, c.init, c.batch, c.rounds) == ("linear", "stratified:3", 10, 10)


WRONG = {
    "strategy = 'margin'": "unknown key 'strategy'; known: strategies, heads, pools, inits",
    "strategies = 'margin'": "strategies = 'margin', expected a list, each one of .*margin",
    "strategies = []": r"strategies = \[\], expected a list",
    "strategies = ['magic']": "expected a list, each one of badge",
    "heads = ['tail']": "expected a list, each one of auto",
    "pools = ['all']": 'expected a list, each a whole number, 1 or more, or "full"',
    "pools = [0]": "each a whole number, 1 or more",
    "eval_sizes = [true]": 'each a whole number, 1 or more, or "all"',
    "inits = [3]": "each a text",
    "batch = 1.5": "batch = 1.5, expected a whole number, 1 or more",
    "seeds = true": "seeds = True, expected a whole number",
    "label_noise = 2": "label_noise = 2, expected a number from 0 to 1",
    "traditional = 1": "traditional = 1, expected true or false",
    "train_on = 'newest'": "expected one of all, latest",
    "arm = 3": r"arm = 3, expected \[\[arm\]\] tables",
    "arm = [3]": r"every \[\[arm\]\] is a table with a name, found 3",
    "[[arm]]\nbatch = 3": "is a table with a name",
    "[[arm]]\nname = 'a'\nseed = 3": "arm 'a': unknown key 'seed'; known: name, strategy",
    "[[arm]]\nname = 'a'\nhead = 'tail'": "arm 'a': head = 'tail', expected one of auto",
    "[[arm]]\nname = 'a'\n[[arm]]\nname = 'a'": "2 arms are called 'a'",
    "baseline = 'mine'": "no arm is called 'mine'; there are: defaults; ",
    "batch = ": "cannot be read as TOML: Invalid value",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_file_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=WRONG[text]) as caught:
        plan(text, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none\.toml cannot be read"):
        read_toml(tmp_path / "none.toml")


def test_the_files_that_are_shown_are_plans(tmp_path: Path) -> None:
    (text,) = re.findall(r"```\n(.*?)```", choices.__doc__ or "", re.DOTALL)
    assert len(plan(text, tmp_path).arms) == 11
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    assert [arm.name for arm in plan(text, tmp_path).arms] == [
        "margin, full pool",
        "margin, 300 images",
        "random",
        "entropy, one wrong label in ten",
    ]
