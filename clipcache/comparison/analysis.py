"""What a comparison found: numbers for each arm, the differences, and what may be said of them."""

from dataclasses import dataclass

from clipcache.comparison.pairs import Comparison, compare_pairs
from clipcache.comparison.questions import questions
from clipcache.comparison.results import Results
from clipcache.comparison.summary import Summary, summarise
from clipcache.comparison.trial_curves import evaluations
from clipcache.comparison.verdicts import verdicts


@dataclass(frozen=True)
class Analysis:
    """Everything that the report tells of the numbers."""

    verdicts: tuple[str, ...]
    """Sentences, the most important first."""
    summaries: tuple[Summary, ...]
    comparisons: tuple[Comparison, ...]
    """Question by question, the most important first."""


def analyse(results: Results) -> Analysis:
    """Return what the trials show, and no more."""
    asked = questions(results.plan)
    comparisons = [
        comparison
        for question in asked
        for evaluation in evaluations(results)
        for comparison in compare_pairs(results, question, evaluation)
    ]
    return Analysis(
        verdicts=tuple(verdicts(results, asked, comparisons)),
        summaries=tuple(summarise(results)),
        comparisons=tuple(comparisons),
    )
