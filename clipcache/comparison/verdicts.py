"""A comparison in a few sentences, which claim no more than intervals and tests both show."""

from collections.abc import Iterator, Sequence
from math import ceil, isnan, log2

from clipcache.comparison.pairs import EVERY_CACHE, SHOWN, Comparison
from clipcache.comparison.questions import Question
from clipcache.comparison.results import Results
from clipcache.comparison.trial_curves import evaluations

ASIDES = {"top1": "", "tail_recall": " For rare classes?", "head_recall": " For common classes?"}
"""Metrics that sentences speak of, and what they add to a question; tables have the others."""
NOT_SHOWN = "No difference could be shown"
LISTED = 4
"""Differences of a kind that a sentence names; tables have all."""
NAMED = 2
"""Pairs without a shown difference that a sentence names; more are counted."""
EXACT = 13
"""Seeds up to which the paired test tries all flips of signs."""


def verdicts(
    results: Results, questions: Sequence[Question], comparisons: Sequence[Comparison]
) -> Iterator[str]:
    """Yield a sentence for each question and metric, then what fewer evaluation images change.

    Several caches are spoken of together, by the mean over them.
    """
    where = EVERY_CACHE if len(results.caches) > 1 else results.caches[0].name
    told = [c for c in comparisons if c.cache == where]
    if not comparisons:
        yield "Nothing was compared: there is one arm alone, or arms share no number of labels."
        return
    if not told:
        yield (
            "No two arms could be compared on every cache, as they share no number of labels on "
            "some; the tables tell of each cache."
        )
        return
    main, *fewer = evaluations(results)
    sizes = []
    for question in (q for q in questions if q.metric in ASIDES):
        family = _family(told, question.name, main, question.metric)
        sizes.append(len(family))
        if family:
            yield _opening(question) + _finding(family)
    yield from _too_few_seeds(results.plan.seeds, max(sizes))
    for evaluation in fewer:
        full, few = (_family(told, questions[0].name, on, "top1") for on in (main, evaluation))
        if full:
            yield (
                f"{questions[0].name}, measured on {evaluation} images: {_count(few)} of "
                f"{len(few)} differences could be shown, where {main} images show "
                f"{_count(full)}{_wider(few, full)}."
            )


def _family(
    comparisons: Sequence[Comparison], question: str, evaluation: str, metric: str
) -> list[Comparison]:
    wanted = (question, evaluation, metric)
    return [c for c in comparisons if (c.question, c.evaluation, c.metric) == wanted]


def _opening(question: Question) -> str:
    if question.name.endswith("?"):
        return f"{question.name}{ASIDES[question.metric]} "
    return f"{question.name}: " if len(question.pairs) > 1 else ""  # a single pair names both


def _count(family: Sequence[Comparison]) -> int:
    return sum(c.shown for c in family)


def _wider(few: Sequence[Comparison], full: Sequence[Comparison]) -> str:
    wide, narrow = (sum(c.gain.high - c.gain.low for c in family) for family in (few, full))
    return f"; the intervals are {wide / narrow:.1f} times as wide" if narrow > 0 else ""


def _finding(family: Sequence[Comparison]) -> str:
    """Say what the comparisons of one question and metric show."""
    largest = max(family, key=lambda c: abs(c.gain.mean))
    if len(family) == 1:
        return largest.words
    if isnan(largest.gain.low):
        return f"Of {len(family)} differences the largest: {largest.words}"
    if not _count(family):
        return (
            f"No difference could be shown for any of {len(family)} pairs; the largest is "
            f"{largest.one} against {largest.other}, {_measured(largest, 1)} {largest.measure} "
            f"(95 % interval; adjusted p {largest.adjusted_p:.2g})."
        )
    return _winners(family)


def _winners(family: Sequence[Comparison]) -> str:
    """Name the differences that are shown, the largest first, and those that are not."""
    shown = sorted((c for c in family if c.shown), key=lambda c: -abs(c.gain.mean))
    unknown = [c for c in family if not c.shown]
    if len({c.other for c in family}) == 1:  # all against the same arm
        better = [f"{c.one} {_measured(c, 1)}" for c in shown if c.gain.mean > 0]
        worse = [f"{c.one} {_measured(c, 1)}" for c in shown if c.gain.mean < 0]
        rest = [c.one for c in unknown]
        parts = {"Better": better, "Worse": worse, NOT_SHOWN: rest}
    else:
        parts = {
            "Shown": [
                f"{c.one} beat {c.other} {_measured(c, 1)}"
                if c.gain.mean > 0
                else f"{c.other} beat {c.one} {_measured(c, -1)}"
                for c in shown
            ],
            NOT_SHOWN: _unknown(unknown, len(family)),
        }
    said = ". ".join(f"{kind}: {_listed(names)}" for kind, names in parts.items() if names)
    worst = max(c.adjusted_p for c in shown)
    unit = shown[0].measure
    return f"{said}. ({unit[0].upper()}{unit[1:]}, 95 % intervals, adjusted p at most {worst:.2g}.)"


def _unknown(pairs: Sequence[Comparison], of: int) -> list[str]:
    if len(pairs) <= NAMED:
        return [f"{c.one} against {c.other} {_measured(c, 1)}" for c in pairs]
    return [f"{len(pairs)} of {of} pairs"]


def _measured(c: Comparison, sign: int) -> str:
    low, high = sorted((sign * c.gain.low, sign * c.gain.high))
    return f"{sign * c.gain.mean:+.1f} ({low:+.1f} to {high:+.1f})"


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - LISTED} more"] if len(names) > LISTED else []
    return "; ".join([*names[:LISTED], *more])


def _too_few_seeds(seeds: int, pairs: int) -> Iterator[str]:
    """Say where no outcome could have been significant."""
    least = 2 / 2 ** min(seeds, EXACT)
    if seeds < 2 or least * pairs <= SHOWN:
        return
    needed = ceil(log2(2 * pairs / SHOWN))
    cure = f"it takes {needed} seeds" if needed <= EXACT else "compare fewer arms at once"
    yield (
        f"With {seeds} seeds no p-value is below {least:.2g}, too much for a family of {pairs}: "
        f"no difference could be shown there, whatever the arms do; {cure}."
    )
