"""What a plan asks: which arms are held against which, in families that are judged together."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from clipcache.comparison.plan import Arm, Plan

POOL = "Does scoring the full pool pay?"
ROUNDS = "Do rounds pay, against a fresh model for each sample?"
TITLES = {
    "subsample": POOL,
    "strategy": "Which strategy?",
    "head": "Which head?",
    "init": "Which start?",
    "label_noise": "What do wrong answers cost?",
}
"""Factor -> its question, the most important first; other options follow under their own name."""
RECALLS = ("top1", "tail_recall", "head_recall", "macro_recall")
"""A pool is judged by whom it serves, too: rare classes or common ones."""


class Question(NamedTuple):
    """A family of comparisons: its p-values are adjusted for each other."""

    name: str
    pairs: tuple[tuple[str, str], ...]
    """Names of arms; the second is what the first is held against."""
    metric: str = "top1"


def questions(plan: Plan) -> list[Question]:
    """Return what the plan's arms can answer, the most important first.

    Each arm is held against the baseline, then against the traditional one, then all pairs of arms
    against each other that differ in a single option. A pair is asked about once by each metric:
    in another family its adjusted p-value would be another, and might say otherwise.
    """
    others = [arm.name for arm in plan.arms if arm.name != plan.baseline]
    against = Question(against_baseline(plan), tuple((name, plan.baseline) for name in others))
    more = [Question(ROUNDS, _against_traditional(plan.arms))]
    more += [
        Question(_title(factor), _differing_in(factor, plan.arms), metric)
        for factor in _factors(plan.arms)
        for metric in _metrics(factor)
    ]
    found = [against, *(_apart_from(plan.baseline, q) if q.metric == "top1" else q for q in more)]
    return [q for q in found if q.pairs]


def against_baseline(plan: Plan) -> str:
    """Return the name of the first question."""
    return f"Against {plan.baseline}"


def options(arm: Arm) -> dict[str, Any]:
    """Return the options of an arm in which two may differ."""
    chosen = asdict(arm.config)
    del chosen["seed"], chosen["eval_size"]  # the plan's, the same for all
    return chosen


def _factors(arms: Sequence[Arm]) -> list[str]:
    """Return the options with several levels, the most important first."""
    every = list(dict.fromkeys([*TITLES, *options(arms[0])]))
    return [name for name in every if len({options(arm)[name] for arm in arms}) > 1]


def _title(factor: str) -> str:
    return TITLES.get(factor, f"What does --{factor.replace('_', '-')} change?")


def _metrics(factor: str) -> tuple[str, ...]:
    return RECALLS if factor == "subsample" else ("top1",)


def _apart_from(baseline: str, question: Question) -> Question:
    """Return the question without the pairs of the baseline, which says so in its name."""
    kept = tuple(pair for pair in question.pairs if baseline not in pair)
    if kept == question.pairs:
        return question
    return Question(f"{question.name.removesuffix('?')}, apart from {baseline}?", kept)


def _differing_in(factor: str, arms: Sequence[Arm]) -> tuple[tuple[str, str], ...]:
    asked = [arm for arm in arms if not arm.traditional]  # which asks no strategy, and no pool
    if factor == "subsample":  # the larger pool first: it is the one that has to pay
        asked.sort(key=lambda arm: -(arm.config.subsample or float("inf")))
    return tuple(
        (one.name, other.name)
        for i, one in enumerate(asked)
        for other in asked[i + 1 :]
        if _differences(one, other) == {factor}
    )


def _against_traditional(arms: Sequence[Arm]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (one.name, other.name)
        for other in arms
        for one in arms
        if other.traditional
        and not one.traditional
        and _differences(one, other) <= {"strategy", "subsample"}
    )


def _differences(one: Arm, other: Arm) -> set[str]:
    mine, theirs = options(one), options(other)
    found = {name for name in mine if mine[name] != theirs[name]}
    if "random" in (mine["strategy"], theirs["strategy"]):  # whose labels depend on no pool
        found.discard("subsample")
    return found
