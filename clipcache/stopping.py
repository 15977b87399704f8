"""When another round of labels is no longer worth it, and why.

A run stops where its rounds are used up, and before that where one of its rules says so. Rules look
at the rounds that are closed, so that anybody can ask again later and hears the same.

Where they stopped the default recipe on CLIP's vectors (rounds of 20, one seed), as "labels:
top-1 in %", and where 30 rounds ended:

===========  =========  =========  =========  =========  ===========  =========
rule         Pets       UCF101     DTD        food       fashion      threshold
===========  =========  =========  =========  =========  ===========  =========
agreement    457: 88.6  561: 77.8  never      130: 98.4  387: 92.3    0.99
gain         237: 87.5  281: 72.5  427: 64.9  110: 98.2  267: 91.3    0.2
plateau      357: 88.6  541: 77.6  647: 68.0  110: 98.2  267: 91.3    0.5
uncertainty  157: 87.0  381: 75.1  never      30: 97.6   47: 82.7     0.1
(none)       637: 89.5  701: 77.7  647: 68.0  610: 98.2  627: 93.0
===========  =========  =========  =========  =========  ===========  =========

`uncertainty` trusts the head, which on the long tail of fashion was surer than right.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from clipcache.errors import RunError
from clipcache.labels import Round

WINDOW = 3
"""Rounds in a row that must agree: one alone may be luck."""
TREND = 5
"""Rounds that `gain` draws its line through."""


def plateau(rounds: Sequence[Round], points: float) -> str | None:
    """Stop where top-1 rose by less than `points` in all of the last rounds together.

    The best of the last `WINDOW` rounds is held against the best before them.
    """
    rounds = _measured(rounds)
    if len(rounds) <= WINDOW:
        return None
    before = max(r.top1 for r in rounds[:-WINDOW])
    risen = 100 * (max(r.top1 for r in rounds[-WINDOW:]) - before)
    if risen >= points:
        return None
    return f"top-1 rose by {risen:.1f} points in {WINDOW} rounds, less than {points:g}"


def agreement(rounds: Sequence[Round], kappa: float) -> str | None:
    """Stop where heads with more labels say of the pool what the ones before them said.

    Bloodgood and Vijay-Shanker 2009, "A Method for Stopping Active Learning Based on Stabilizing
    Predictions and the Need for User-Adjustable Stopping": the mean kappa of the last three
    comparisons is at least `kappa`. Needs no labelled test images.
    """
    found = [r.agreement for r in rounds if r.agreement is not None][-WINDOW:]
    if len(found) < WINDOW or np.mean(found) < kappa:
        return None
    return (
        f"successive heads agree about the pool: kappa {np.mean(found):.3f} over {WINDOW} rounds, "
        f"at least {kappa:g}"
    )


def uncertainty(rounds: Sequence[Round], share: float) -> str | None:
    """Stop where the head is sure of the pool: mean entropy at most `share` of the highest one.

    The overall uncertainty of Zhu, Wang and Hovy 2008, "Multi-Criteria-Based Strategy to Stop
    Active Learning for Data Annotation". Needs no labelled test images, but a calibrated head.
    """
    if rounds[-1].uncertainty > share:
        return None
    return f"the head is sure: uncertainty {rounds[-1].uncertainty:.3f} of 1, at most {share:g}"


def gain(rounds: Sequence[Round], points: float) -> str | None:
    """Stop where one more round of the same size is expected to bring less than `points` of top-1.

    What is expected is read off a straight line through the last `TREND` rounds, top-1 over the
    logarithm of the labels. Curves flatten, so the line promises rather too much.
    """
    rounds = [r for r in _measured(rounds) if r.labels]
    if len(rounds) < TREND or rounds[-1].labels == rounds[-TREND].labels:
        return None
    labels = np.array([r.labels for r in rounds[-TREND:]], dtype=np.float64)
    slope = np.polyfit(np.log(labels), [100 * r.top1 for r in rounds[-TREND:]], 1)[0]
    more = float(slope * np.log(2 - labels[-2] / labels[-1]))
    if more >= points:
        return None
    return f"one more round would bring {more:.2f} points of top-1, less than {points:g}"


def _with_news(rounds: Sequence[Round]) -> list[Round]:
    """Return the rounds before which something was said that the one before had not heard."""
    heard, found = (0, 0), []
    for closed in rounds:
        if (closed.labels, closed.seen) != heard:
            found.append(closed)
        heard = (closed.labels, closed.seen)
    return found


def _measured(rounds: Sequence[Round]) -> list[Round]:
    """Return the rounds that had images to measure on, as people may label those later."""
    return [r for r in rounds if not np.isnan(r.top1)]


class Rule(NamedTuple):
    """When to stop, and the threshold where none is given."""

    why: Callable[[Sequence[Round], float], str | None]
    threshold: float
    highest: float


RULES = {
    "agreement": Rule(agreement, 0.99, 1.0),
    "gain": Rule(gain, 0.2, 100.0),
    "plateau": Rule(plateau, 0.5, 100.0),
    "uncertainty": Rule(uncertainty, 0.1, 1.0),
}


def parse(spec: str) -> list[tuple[Rule, float]]:
    """Return the rules of "agreement:0.98,plateau", with their thresholds; none of "budget".

    Raises RunError for anything else, "budget" beside a rule among it.
    """
    parts = [part.strip() for part in spec.split(",")]
    if parts == ["budget"]:
        return []
    if "budget" in parts:
        raise RunError(
            f"--stop {spec}: budget stands alone, as the rounds end a run beside any rule; "
            "leave it out"
        )
    return [_rule(part) for part in parts]


def _rule(text: str) -> tuple[Rule, float]:
    name, colon, number = text.partition(":")
    if name not in RULES:
        raise RunError(f"--stop {text} is unknown; known: budget, {', '.join(RULES)}")
    rule = RULES[name]
    try:
        threshold = float(number) if colon else rule.threshold
    except ValueError:
        threshold = float("nan")
    if not 0 <= threshold <= rule.highest:
        raise RunError(
            f"--stop {text} needs a number from 0 to {rule.highest:g}, as in "
            f"{name}:{rule.threshold:g}"
        )
    return rule, threshold


def why_stop(rounds: Sequence[Round], spec: str, budget: int) -> str | None:
    """Return in words why no more labels are asked for after these rounds; None to go on.

    A round that was closed before anybody had said anything new says nothing, and does not count:
    with people, images run out when many have come, not only when they have answered.

    Parameters
    ----------
    rounds : closed ones, the first of them round 0; none of them stopped before the last.
    spec : as in `parse`.
    budget : rounds after the first labels.
    """
    rounds = _with_news(rounds)
    if not rounds:
        return None
    for rule, threshold in parse(spec):
        why = rule.why(rounds, threshold)
        if why:
            return why
    if len(rounds) <= budget:
        return None
    return "the only round is done" if budget == 1 else f"all {budget} rounds are done"
