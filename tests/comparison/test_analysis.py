"""What a comparison says, on trials for which the right answer is evident."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from clipcache.comparison.analysis import analyse
from clipcache.comparison.choices import PRESETS, plan_of
from clipcache.comparison.pairs import EVERY_CACHE, Comparison
from clipcache.comparison.plan import Arm, Plan
from clipcache.comparison.questions import questions
from clipcache.comparison.results import Results
from clipcache.comparison.trial import Trial
from clipcache.run_config import RunConfig
from clipcache.stats import verdict
from tests.made_trials import CONFIG, RANDOM, cache, compared, few_resamples, trial


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with few_resamples():
        yield


CLAIMS = ("beat", "Better", "Worse", "did worse", "Shown")


def noisy(
    level: float, seeds: int = 8, rounds: int = 4, spread: float = 0.01, seed: int = 0
) -> list[list[float]]:
    """Return runs that rise from about `level`."""
    rng = np.random.default_rng(seed)
    rise = level + 0.02 * np.arange(rounds)
    found: list[list[float]] = (rise + spread * rng.standard_normal((seeds, rounds))).tolist()
    return found


def claims(results: Results) -> bool:
    return any(word in sentence for sentence in analyse(results).verdicts for word in CLAIMS)


def found(results: Results, one: str, metric: str = "top1", where: str = "photos") -> Comparison:
    [c] = [
        c
        for c in analyse(results).comparisons
        if (c.one, c.cache, c.metric, c.evaluation) == (one, where, metric, "all")
        and c.question.startswith("Against")
    ]
    return c


def test_a_clear_winner_and_a_clear_loser_are_named() -> None:
    heights = {
        "good": noisy(0.7, seed=1),
        "same": noisy(0.5, seed=2),
        "bad": noisy(0.3, seed=3),
        "plain": noisy(0.5, seed=4),
    }
    said = analyse(compared(heights)).verdicts[0]
    assert said.startswith("Against plain: Better: good +")
    assert "Worse: bad -" in said
    assert "No difference could be shown: same." in said


def test_one_other_arm_gets_the_usual_sentence() -> None:
    results = compared({"good": noisy(0.7, seed=1), "plain": noisy(0.5)})
    c = found(results, "good")
    assert analyse(results).verdicts[0] == c.words
    assert c.words.startswith("good beat plain: +")


@pytest.mark.parametrize("arms", [2, 4])
def test_identical_arms_differ_in_nothing(arms: int) -> None:
    results = compared({f"arm {i}": noisy(0.5) for i in range(arms)})
    assert "no difference could be shown" in analyse(results).verdicts[0].lower()
    assert not claims(results)
    assert {c.gain.mean for c in analyse(results).comparisons} == {0.0}


@pytest.mark.parametrize("arms", [2, 3])
def test_one_seed_makes_no_claim(arms: int) -> None:
    results = compared({f"arm {i}": [[0.1 + 0.3 * i, 0.2 + 0.3 * i]] for i in range(arms)})
    assert "one seed shows no more than that" in analyse(results).verdicts[0]
    assert not claims(results)


def test_one_arm_alone_is_told_so() -> None:
    analysis = analyse(compared({"only": noisy(0.5)}))
    assert analysis.comparisons == ()
    assert "Nothing was compared" in analysis.verdicts[0]
    assert analysis.summaries[0].final.mean == pytest.approx(0.56, abs=0.02)


def test_five_seeds_are_too_few_and_the_page_says_how_many_would_do() -> None:
    heights = {name: noisy(0.3 + 0.2 * i, seeds=5) for i, name in enumerate(("a", "b", "c"))}
    results = compared(heights)
    assert not claims(results)
    # 2 / 2^7 = 0.0156, twice is below 0.05; 2 / 2^6 = 0.031, twice is above it
    [said] = [s for s in analyse(results).verdicts if s.startswith("With 5 seeds")]
    assert "it takes 7 seeds" in said
    enough = {name: noisy(0.3 + 0.2 * i, seeds=7) for i, name in enumerate(("a", "b", "c"))}
    assert claims(compared(enough))
    assert not [s for s in analyse(compared(enough)).verdicts if s.startswith("With")]


def test_gains_and_p_values_are_those_of_a_slow_twin() -> None:
    heights = {"a": noisy(0.52, 6, spread=0.03, seed=1), "b": noisy(0.5, 6, spread=0.03, seed=2)}
    heights["c"] = noisy(0.5, 6, spread=0.03, seed=3)
    results = compared(heights)
    p_values = []
    for arm in ("a", "b"):
        gains = []
        for mine, theirs in zip(heights[arm], heights["c"], strict=True):
            areas = [
                sum((left + right) / 2 for left, right in pairwise(h)) / 3 for h in (mine, theirs)
            ]
            gains.append(100 * (areas[0] - areas[1]))
        flips = [abs(np.dot(signs, gains)) for signs in product((1, -1), repeat=6)]
        p_values.append(np.mean(np.array(flips) >= abs(sum(gains)) - 1e-9))
        c = found(results, arm)
        assert c.gain.mean == pytest.approx(np.mean(gains))
        assert c.p == pytest.approx(p_values[-1])
    low, high = sorted(p_values)
    adjusted = sorted(found(results, arm).adjusted_p for arm in ("a", "b"))
    assert adjusted == pytest.approx([min(1, 2 * low), min(1, max(2 * low, high))])


@pytest.mark.parametrize("seed", range(6))
def test_words_and_bold_print_claim_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    heights = {
        name: noisy(0.5 + rng.normal(0, 0.015), seeds=7, spread=0.02, seed=seed * 10 + i)
        for i, name in enumerate(("a", "b", "c", "d"))
    }
    for c in analyse(compared(heights)).comparisons:
        said = verdict(c.one, c.other, c.gain, adjusted_p=c.adjusted_p)
        assert c.shown == ("no difference could be shown" not in said)


def test_a_run_that_stopped_early_goes_on_level() -> None:
    full = {"a": [[0.5, 0.6, 0.6, 0.6], [0.4, 0.5, 0.6, 0.7]], "b": [[0.3, 0.4, 0.5, 0.6]] * 2}
    cut = {"a": [[0.5, 0.6], [0.4, 0.5, 0.6, 0.7]], "b": full["b"]}
    rounds = replace(CONFIG, rounds=3)
    plan = Plan((Arm("a", rounds), Arm("b", rounds)), "b", seeds=2)
    expected, got = (
        analyse(Results(plan, (cache("x", {k: [trial(h) for h in v] for k, v in d.items()}),)))
        for d in (full, cut)
    )
    assert str(got.comparisons) == str(expected.comparisons)  # NaN is itself here
    mine, theirs = got.summaries[0], expected.summaries[0]
    assert mine.area == theirs.area
    assert mine.final == theirs.final
    assert (mine.last_labels, theirs.last_labels) == (40, 50)  # but it cost less


def test_arms_with_other_label_counts_are_compared_where_both_run() -> None:
    # "late" lies on the very line that "early" draws, from 40 labels on.
    early = [[0.2, 0.3, 0.4, 0.5, 0.6]] * 6
    late = [[0.4, 0.5, 0.6, 0.7, 0.8]] * 6
    arms = (Arm("early", replace(CONFIG, rounds=4)), Arm("late", replace(CONFIG, rounds=4)))
    runs = {"early": [trial(h, 20) for h in early], "late": [trial(h, 40) for h in late]}
    results = Results(Plan(arms, "early", seeds=6), (cache("photos", runs),))
    assert found(results, "late").gain.mean == pytest.approx(0, abs=1e-9)
    assert not claims(results)
    row = analyse(results).summaries[0]
    assert (row.area_from, row.area_to) == (40, 60)
    assert row.area.mean == pytest.approx(0.5)


def test_arms_that_share_no_label_count_are_not_compared() -> None:
    arms = (Arm("early", replace(CONFIG, rounds=1)), Arm("late", replace(CONFIG, rounds=1)))
    runs = {"early": [trial([0.2, 0.3])] * 2, "late": [trial([0.9, 0.9], 400)] * 2}
    analysis = analyse(Results(Plan(arms, "early", seeds=2), (cache("x", runs),)))
    assert analysis.comparisons == ()
    assert "Nothing was compared" in analysis.verdicts[0]
    assert [row.area_from for row in analysis.summaries[:2]] == [20, 400]


def test_arms_that_meet_on_some_caches_only_are_in_the_tables() -> None:
    arms = (Arm("early", replace(CONFIG, rounds=1)), Arm("late", replace(CONFIG, rounds=1)))
    early, late, later = ([trial([0.2, 0.3], first)] * 2 for first in (20, 25, 400))
    caches = (
        cache("x", {"early": early, "late": late}),
        cache("y", {"early": early, "late": later}),
    )
    analysis = analyse(Results(Plan(arms, "early", seeds=2), caches))
    assert {c.cache for c in analysis.comparisons} == {"x"}
    assert len(analysis.verdicts) == 1
    assert "No two arms could be compared on every cache" in analysis.verdicts[0]


def test_labels_to_the_target_and_labels_saved() -> None:
    heights = {"fast": [[0.2, 0.6, 0.6, 0.6]] * 6, "slow": [[0.2, 0.3, 0.35, 0.4]] * 6}
    for target, expected in ((None, 25.0), (0.6, 30.0), (0.9, np.inf)):
        fast, slow = analyse(compared(heights, target=target)).summaries[:2]
        assert fast.labels_to_target == pytest.approx(expected)
        assert fast.labels_saved == pytest.approx((2, 2, 2))  # 50 labels against 25
        assert slow.labels_saved == (1, 1, 1)
        assert slow.target == target or target is None


def test_labels_saved_draw_the_same_seeds_for_both_arms() -> None:
    # Half of the baseline's runs are slow, and each arm's run is always twice as fast as its pair.
    slow, slower = [0.1, 0.3, 0.5, 0.5, 0.5], [0.0, 0.2, 0.4, 0.4, 0.4]
    quick, quicker = [0.1, 0.5, 0.5, 0.5, 0.5], [0.0, 0.4, 0.4, 0.4, 0.4]
    saved = (
        analyse(compared({"a": [quick, quicker] * 4, "b": [slow, slower] * 4}))
        .summaries[0]
        .labels_saved
    )
    assert saved is not None
    assert saved == pytest.approx((4 / 3, 4 / 3, 4 / 3))
    few = analyse(compared({"a": [quick] * 4, "b": [slow] * 4})).summaries[0].labels_saved
    assert few is not None
    assert np.isnan(few.low)


def test_several_caches_are_spoken_of_by_their_mean() -> None:
    base = noisy(0.5)
    up = (np.array(base) + 0.04).tolist()
    down = (np.array(base) - 0.02).tolist()
    results = compared({"one": {"a": up, "b": base}, "two": {"a": down, "b": base}})
    assert found(results, "a", where="one").gain.mean == pytest.approx(4)
    assert found(results, "a", where="two").gain.mean == pytest.approx(-2)
    over = found(results, "a", where=EVERY_CACHE)
    assert over.gain.mean == pytest.approx(1)
    assert over.adjusted_p == over.p == pytest.approx(2 / 2**8)
    assert found(results, "a", where="one").adjusted_p == pytest.approx(4 / 2**8)  # of a family
    assert analyse(results).verdicts[0].startswith("a beat b: +1.0 points of top-1")
    assert "mean over caches" in analyse(results).verdicts[0]


def arm(name: str, **config: object) -> Arm:
    return Arm(name, replace(CONFIG, **config))


def grid_plan() -> Plan:
    return Plan(
        (
            arm("margin 300", subsample=300),
            arm("margin"),
            arm("entropy 300", strategy="entropy", subsample=300),
            arm("entropy", strategy="entropy"),
            Arm("traditional", RANDOM, traditional=True),
        ),
        "traditional",
        seeds=8,
    )


def test_each_question_holds_pairs_that_differ_in_one_thing() -> None:
    plan = grid_plan()
    runs = {a.name: [trial(h) for h in noisy(0.5, seed=i)] for i, a in enumerate(plan.arms)}
    asked: dict[str, list[tuple[str, str]]] = {}
    for c in analyse(Results(plan, (cache("x", runs),))).comparisons:
        if c.metric == "top1":
            asked.setdefault(c.question, []).append((c.one, c.other))
    names = ("margin 300", "margin", "entropy 300", "entropy")
    assert asked == {
        "Against traditional": [(name, "traditional") for name in names],
        "Does scoring the full pool pay?": [("margin", "margin 300"), ("entropy", "entropy 300")],
        "Which strategy?": [("margin 300", "entropy 300"), ("margin", "entropy")],
    }


def asked(plan: Plan) -> dict[tuple[str, str], set[frozenset[str]]]:
    """Return the pairs of each question and metric."""
    found: dict[tuple[str, str], set[frozenset[str]]] = {}
    for q in questions(plan):
        found.setdefault((q.name, q.metric), set()).update(map(frozenset, q.pairs))
    return found


@pytest.mark.parametrize("baseline", ["random", "margin", "margin 300", "traditional"])
def test_no_pair_is_judged_twice_by_the_same_metric(baseline: str) -> None:
    more = (
        Arm("random", RANDOM),
        arm("auto", head="auto"),
        Arm("traditional auto", replace(RANDOM, head="auto"), traditional=True),
    )
    plan = Plan((*grid_plan().arms, *more), baseline)
    pairs = [(metric, pair) for (_, metric), family in asked(plan).items() for pair in family]
    assert len(set(pairs)) == len(pairs)


def test_other_questions_leave_out_what_the_baseline_answers() -> None:
    others = (arm("margin 300", subsample=300), arm("entropy", strategy="entropy"))
    plan = Plan((arm("margin"), *others, Arm("random", RANDOM)), "margin")
    margin = [frozenset(("margin", other)) for other in ("margin 300", "entropy", "random")]
    pool = "Does scoring the full pool pay?"
    assert asked(plan) == {
        ("Against margin", "top1"): set(margin),
        **{(pool, m): {margin[0]} for m in ("tail_recall", "head_recall", "macro_recall")},
        ("Which strategy, apart from margin?", "top1"): {
            frozenset(pair) for pair in (("margin 300", "random"), ("entropy", "random"))
        },
    }


def test_random_labels_are_held_against_every_pool() -> None:
    plan = plan_of(PRESETS["report"], "options")
    chosen = [a.name for a in plan.arms if a.name not in ("random", "traditional")]
    assert len(chosen) == 6
    assert {frozenset((name, "random")) for name in chosen} < asked(plan)["Which strategy?", "top1"]
    two = Plan((Arm("random", RANDOM), Arm("300", replace(RANDOM, subsample=300))), "random")
    assert list(asked(two)) == [("Against random", "top1")]  # as they are the same


def test_pairs_that_could_not_be_told_apart_are_named_too() -> None:
    plan = grid_plan()
    level = {"margin": 0.8, "margin 300": 0.5, "entropy": 0.5, "entropy 300": 0.5}
    runs = {
        a.name: [trial(h) for h in noisy(level.get(a.name, 0.5), seed=i)]
        for i, a in enumerate(plan.arms)
    }
    said = analyse(Results(plan, (cache("x", runs),))).verdicts
    [pool] = [s for s in said if s.startswith("Does scoring the full pool pay? Shown")]
    assert "Shown: margin beat margin 300 +" in pool
    assert "No difference could be shown: entropy against entropy 300 " in pool


def test_the_traditional_arm_has_a_question_of_its_own() -> None:
    plan = grid_plan()
    plan = replace(plan, arms=(*plan.arms, Arm("random", RANDOM)), baseline="random")
    runs = {a.name: [trial(h) for h in noisy(0.5, seed=i)] for i, a in enumerate(plan.arms)}
    said = analyse(Results(plan, (cache("x", runs),))).verdicts
    question = "Do rounds pay, against a fresh model for each sample, apart from random? "
    assert said[1].startswith(question)


def test_a_pool_is_judged_by_rare_and_common_classes_too() -> None:
    plan = Plan((arm("full"), arm("part", subsample=300)), "part", seeds=8)
    heights = noisy(0.5)
    runs = {
        "full": [trial(h, tail_recall=0.6 + 0.01 * i) for i, h in enumerate(heights)],
        "part": [trial(h, tail_recall=0.4) for h in heights],
    }
    said = analyse(Results(plan, (cache("x", runs),))).verdicts
    assert said[0].startswith("full against part: no difference could be shown")
    pool = [s for s in said if s.startswith("Does scoring the full pool pay?")]
    assert "For rare classes? full beat part: +23.5 points of recall of the rarest third" in pool[0]
    assert "For common classes? full against part: no difference could be shown" in pool[1]
    assert len(said) == 3


def test_fewer_images_are_told_by_what_they_can_show() -> None:
    heights = {"a": noisy(0.56, seed=1), "b": noisy(0.5, seed=2)}
    results = compared(heights, eval_sizes=(None, 200))
    clear = results.caches[0]
    blurred = {
        name: tuple(
            replace(
                t,
                measured={
                    **t.measured,
                    "200": {k: tuple(0.5 for _ in v) for k, v in t.measured["200"].items()},
                },
            )
            for t in trials
        )
        for name, trials in clear.trials.items()
    }
    said = analyse(replace(results, caches=(replace(clear, trials=blurred),))).verdicts[-1]
    assert "measured on 200 images: 0 of 1 differences could be shown" in said
    assert "all images show 1" in said


def test_the_most_images_are_named_where_they_are_not_all() -> None:
    heights = {"a": noisy(0.56, seed=1), "b": noisy(0.5, seed=2)}
    full = compared(heights, eval_sizes=(40, 20))
    runs = {
        name: [replace(t, measured={"40": t.measured["all"], "20": t.measured["200"]}) for t in own]
        for name, own in full.caches[0].trials.items()
    }
    said = analyse(Results(full.plan, (cache("photos", runs),))).verdicts[-1]
    assert (
        "measured on 20 images: 1 of 1 differences could be shown, where 40 images show 1" in said
    )


def test_every_arm_metric_and_evaluation_has_its_row() -> None:
    results = compared({"a": noisy(0.5), "b": noisy(0.6)}, eval_sizes=(200, None))
    rows = analyse(results).summaries
    assert len({(r.arm, r.metric, r.evaluation) for r in rows}) == len(rows) == 2 * 6 * 2
    assert rows[0].evaluation == "all"
    assert {r.labels_saved is None for r in rows if r.metric != "top1"} == {True}


def test_a_config_field_without_a_title_is_asked_about_too() -> None:
    heights = {"batch 5": noisy(0.5), "batch 10": noisy(0.6), "random": noisy(0.4)}
    configs: dict[str, RunConfig] = {
        "batch 5": replace(CONFIG, train_on="latest"),
        "random": RANDOM,
    }
    questions = {c.question for c in analyse(compared(heights, configs)).comparisons}
    assert questions == {"Against random", "What does --train-on change?"}


def test_where_the_baseline_cannot_be_met_the_others_still_are() -> None:
    arms = (arm("a", rounds=1), arm("b", rounds=1), Arm("far", replace(RANDOM, rounds=1)))
    arms = (arms[0], replace(arms[1], config=replace(arms[1].config, head="auto")), arms[2])
    runs = {"a": [trial([0.9, 0.9])] * 8, "b": [trial([0.2, 0.3])] * 8}
    runs["far"] = [trial([0.5, 0.5], 400)] * 8
    plan = Plan(arms, "far", seeds=8, eval_sizes=(None, 200))
    said = analyse(Results(plan, (cache("x", runs),))).verdicts
    assert said == ("Which head? " + found_words(plan, runs),)


def found_words(plan: Plan, runs: dict[str, list[Trial]]) -> str:
    return analyse(Results(plan, (cache("x", runs),))).comparisons[0].words
