"""When a run stops, and what it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.errors import RunError
from clipcache.experiment import simulate
from clipcache.labels import Round
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_config import RunConfig
from clipcache.stopping import RULES, why_stop

BUDGET = 50


def rounds(
    top1: list[float] | None = None,
    agreement: list[float | None] | None = None,
    uncertainty: list[float] | None = None,
    batch: int = 10,
) -> list[Round]:
    """Return rounds with the given measurements; the others are of no use to any rule."""
    n = len(top1 or agreement or uncertainty or [])
    given = (top1 or [0.5] * n, uncertainty or [1.0] * n, agreement or [None] * n)
    return [
        Round(i, 20 + batch * i, top, top, 0.1, unsure, kappa, 0.1, 0.1, 0.1)
        for i, (top, unsure, kappa) in enumerate(zip(*given, strict=True))
    ]


def stops_at(spec: str, history: list[Round]) -> int | None:
    """Return the number of the first round after which the rule says stop."""
    ends = (r.round for r in history if why_stop(history[: r.round + 1], spec, BUDGET))
    return next(ends, None)


def test_the_budget_alone_ends_a_run_after_its_rounds() -> None:
    flat = rounds(top1=[0.5] * 6)
    assert why_stop([], "budget", 5) is None
    assert why_stop(flat[:5], "budget", 5) is None
    assert why_stop(flat, "budget", 5) == "all 5 rounds are done"
    assert why_stop(flat[:2], "budget", 1) == "the only round is done"


def test_a_plateau_is_three_rounds_that_bring_too_little() -> None:
    risen = [0.5, 0.6, 0.7, 0.71, 0.70, 0.72]
    assert stops_at("plateau:1.5", rounds(top1=risen)) is None
    assert stops_at("plateau:2.5", rounds(top1=risen)) == 5
    why = why_stop(rounds(top1=risen), "plateau:2.5", BUDGET)
    assert why == "top-1 rose by 2.0 points in 3 rounds, less than 2.5"


def test_one_bad_round_is_no_plateau() -> None:
    assert stops_at("plateau:1", rounds(top1=[0.5, 0.6, 0.4, 0.7, 0.8])) is None


def test_heads_must_agree_three_times() -> None:
    history = rounds(agreement=[None, 0.99, 0.5, 0.98, 0.99, 1.0])
    assert stops_at("agreement:0.985", history) == 5
    assert stops_at("agreement:0.995", history) is None
    assert stops_at("agreement:0.5", history) == 3  # not before there are three comparisons
    assert "kappa 0.990 over 3 rounds" in str(why_stop(history, "agreement:0.985", BUDGET))


def test_a_sure_head_stops_at_once() -> None:
    history = rounds(uncertainty=[0.9, 0.3, 0.1, 0.2])
    assert stops_at("uncertainty:0.1", history) == 2
    assert stops_at("uncertainty:0.05", history) is None


def test_the_predicted_gain_is_that_of_a_logarithmic_curve() -> None:
    labels = np.array([20 + 10 * i for i in range(40)])
    history = rounds(top1=(0.1 + 0.1 * np.log(labels)).tolist())
    gain = 10 * np.log((labels + 10) / labels)  # points that the next round really brings
    for points in (0.5, 0.7, 1.5):
        assert stops_at(f"gain:{points}", history) == int(np.argmax(gain < points))
    assert stops_at("gain:0.2", history) is None
    flat = rounds(top1=[0.8] * 5)
    assert stops_at("gain:0.1", flat) == 4  # a line needs five rounds


def test_the_first_rule_that_holds_is_told() -> None:
    history = rounds(top1=[0.8] * 6, uncertainty=[0.01] * 6)
    assert "top-1 rose" in str(why_stop(history, "plateau, uncertainty:0.1", BUDGET))
    assert "the head is sure" in str(why_stop(history, "uncertainty:0.1, plateau", BUDGET))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_without_a_number_has_one(name: str) -> None:
    history = rounds(top1=[0.3, 0.9], agreement=[None, 0.2], uncertainty=[0.9, 0.8])
    assert why_stop(history, name, BUDGET) is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("boredom", "--stop boredom is unknown; known: budget, agreement, gain"),
        ("plateau,", "--stop  is unknown"),
        ("budget,plateau", "--stop budget,plateau: budget stands alone, .* leave it out"),
        ("gain:0.1, budget", "budget stands alone"),
        ("agreement:1.1", "--stop agreement:1.1 needs a number from 0 to 1, as in agreement:0.99"),
        ("plateau:some", "needs a number from 0 to 100"),
        ("gain:", "needs a number"),
        ("gain:nan", "needs a number"),
    ],
)
def test_other_rules_are_refused_before_anything_is_written(
    spec: str, message: str, tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    with pytest.raises(RunError, match=message):
        Run.begin(tmp_path / "run", RunConfig(stop=spec, rounds=1), finished_cache)
    assert not (tmp_path / "run").exists()


def test_a_run_that_has_stopped_asks_for_nothing_more(
    tmp_path: Path, finished_cache: EmbeddingCache
) -> None:
    config = RunConfig("random", "linear", init="kmeans:7", batch=2, rounds=30, stop="plateau:100")
    run = Run.begin(tmp_path / "run", config, finished_cache)
    assert run.stopped() is None
    closed = replay(run)
    assert len(closed) == 4  # three rounds after the first, whatever they brought
    again = Run.open(tmp_path / "run")
    assert len(again.propose()) == 0
    assert "less than 100" in str(again.stopped())
    assert len(list(simulate(run.data, config))) == 4


def test_rounds_before_which_nothing_was_said_do_not_count() -> None:
    told = rounds(top1=[0.5, 0.6, 0.7, 0.8], agreement=[None, 0.5, 0.5, 0.5])
    idle = [replace(told[-1], round=r, agreement=1.0, seen=told[-1].seen) for r in range(4, 12)]
    for spec in ("agreement:0.9", "plateau:1", "gain:0.1", "budget"):
        assert why_stop([*told, *idle], spec, 5) is None, spec
    nothing = [replace(told[0], labels=0, round=r) for r in range(8)]  # nobody has answered yet
    for spec in ("agreement:0.9", "plateau:1", "gain:0.1", "budget"):
        assert why_stop(nothing, spec, 3) is None, spec


def test_a_label_that_was_only_changed_is_news() -> None:
    same = [replace(r, labels=20, seen=20 + r.round) for r in rounds(agreement=[None, 1, 1, 1])]
    assert why_stop(same, "agreement:0.9", BUDGET) is not None
    assert why_stop([replace(r, top1=0.5) for r in same] * 2, "gain:0.1", BUDGET) is None
