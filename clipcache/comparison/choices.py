"""A plan from what somebody chose: the options of `clipcache compare`, the keys of a TOML file.

```
strategies = ["default", "margin", "random"]
heads = ["auto", "linear"]
pools = ["full", 300]
eval_sizes = ["all", 200]
seeds = 10

[[arm]]
name = "cautious"
strategy = "entropy"
label_noise = 0.1
```
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from clipcache import registry
from clipcache.comparison.grid import Grid, recipes, traditional_recipe
from clipcache.comparison.plan import Arm, Plan, usual_baseline
from clipcache.errors import RunError
from clipcache.run_config import RunConfig

Choices = Mapping[str, Any]
"""Key -> value, with lists, numbers, texts and switches as TOML has them."""

PRESETS: dict[str, Choices] = {
    "report": {
        "strategies": ["margin", "least_confidence", "entropy", "random"],
        "heads": ["linear"],
        "pools": ["full", 300],
        "inits": ["stratified:3"],
        "traditional": True,
        "baseline": "traditional",
        "eval_sizes": [200, "all"],
        "batch": 10,
        "rounds": 10,
        "seeds": 10,
    }
}
"""`report` is the protocol of the report that clipcache goes back to (its sections 5.1 and 5.2), on
the 300 images that it could afford to score, and on the full pool."""


class Wanted(NamedTuple):
    """What a key may hold."""

    words: str
    fits: Callable[[Any], bool]


def _whole(word: str | None = None) -> Wanted:
    """Want 1 or more, or a word that stands for all."""
    if word is None:
        return Wanted("a whole number, 1 or more", lambda v: type(v) is int and v >= 1)
    return Wanted(
        f'a whole number, 1 or more, or "{word}"',
        lambda v: v == word or (type(v) is int and v >= 1),
    )


def _one_of(*names: str) -> Wanted:
    return Wanted(f"one of {', '.join(names)}", lambda v: isinstance(v, str) and v in names)


def _several(one: Wanted) -> Wanted:
    return Wanted(
        f"a list, each {one.words}",
        lambda v: isinstance(v, list) and bool(v) and all(map(one.fits, v)),
    )


TEXT = Wanted("a text", lambda v: isinstance(v, str) and v != "")
SHARE = Wanted("a number from 0 to 1", lambda v: type(v) in (int, float) and 0 <= v <= 1)
SWITCH = Wanted("true or false", lambda v: isinstance(v, bool))
STRATEGY, HEAD = (_one_of(*registry.names(room)) for room in ("strategies", "heads"))

COMMON = {
    "batch": _whole(),
    "rounds": _whole(),
    "train_on": _one_of("all", "latest"),
    "head_start": _one_of("fresh", "continue"),
    "label_noise": SHARE,
    "stop": TEXT,
}
"""Fields of a run that are the same for all arms, unless an arm says otherwise."""
LISTS = {
    "strategies": _several(STRATEGY),
    "heads": _several(HEAD),
    "pools": _several(_whole("full")),
    "inits": _several(TEXT),
}
"""Any of them makes a grid."""
PLAN = {
    "traditional": SWITCH,
    "seeds": _whole(),
    "eval_sizes": _several(_whole("all")),
    "baseline": TEXT,
    "target": SHARE,
    "arm": Wanted("[[arm]] tables", lambda v: isinstance(v, list) and bool(v)),
}
ARM = {
    "name": TEXT,
    "strategy": STRATEGY,
    "head": HEAD,
    "subsample": _whole("full"),
    "init": TEXT,
    "traditional": SWITCH,
}


def read_toml(path: Path) -> Choices:
    """Return the content of a file; RunError where it is none or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as TOML: {error}") from error


def plan_of(choices: Choices, where: str) -> Plan:
    """Return the plan.

    Its arms are those of the grid, where there is a list, and the `[[arm]]` tables; where there is
    neither, those of `recipes`. `traditional` adds to the grid or, where there is none, an arm.

    Parameters
    ----------
    where : what errors say that the choices come from.

    Raises RunError naming the key that is unknown or holds something else than it should.
    """
    choices = _checked(choices, LISTS | COMMON | PLAN, where)
    common = RunConfig(**{key: choices[key] for key in COMMON if key in choices})
    arms = [_arm(table, common, where) for table in choices.get("arm", [])]
    traditional = choices.get("traditional", False)
    lists = {key: _none_for("full", choices[key]) for key in LISTS if key in choices}
    if lists:
        arms = [*Grid(**lists, traditional=traditional).arms(common), *arms]
    else:
        arms = arms or list(recipes(common))
        if traditional:
            arms.append(traditional_recipe(common))
    rest = {key: choices[key] for key in ("seeds", "target") if key in choices}
    if "eval_sizes" in choices:
        rest["eval_sizes"] = _none_for("all", choices["eval_sizes"])
    return Plan(tuple(arms), choices.get("baseline", usual_baseline(arms)), **rest)


def _arm(table: Any, common: RunConfig, where: str) -> Arm:
    if not isinstance(table, dict) or "name" not in table:
        raise RunError(f"{where}: every [[arm]] is a table with a name, found {table!r}")
    table = _checked(table, ARM | COMMON, f"{where}, arm {table['name']!r}")
    fields = {key: value for key, value in table.items() if key not in ("name", "traditional")}
    if fields.get("subsample") == "full":
        fields["subsample"] = None
    return Arm(table["name"], replace(common, **fields), table.get("traditional", False))


def _none_for(word: str, values: list[Any]) -> tuple[Any, ...]:
    return tuple(None if value == word else value for value in values)


def _checked(choices: Choices, wanted: Mapping[str, Wanted], where: str) -> Choices:
    """Return the choices, shares as float: 0 and 0.0 are to be the same trial."""
    for key, value in choices.items():
        if key not in wanted:
            raise RunError(f"{where}: unknown key {key!r}; known: {', '.join(wanted)}")
        if not wanted[key].fits(value):
            raise RunError(f"{where}: {key} = {value!r}, expected {wanted[key].words}")
    return {key: float(v) if wanted[key] is SHARE else v for key, v in choices.items()}
