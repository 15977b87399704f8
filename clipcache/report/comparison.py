"""The report of a comparison: one page, its plots as files, and every number."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

from clipcache.comparison.analysis import Analysis, analyse
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.tables import write_numbers
from clipcache.comparison.trial_curves import evaluations
from clipcache.durable import write_file
from clipcache.report.comparison_figures import Figures, Picture
from clipcache.report.comparison_tables import comparison_tables, plan_table, summary_table
from clipcache.report.pictures import manner, save

PAGE = Template((Path(__file__).parent / "comparison.html").read_text(encoding="utf-8"))


def write_report(results: Results, folder: Path) -> Analysis:
    """Write report.html, plots/, the CSV files and results.json; what is there is replaced.

    Each file is whole at any time, the page the last of them.
    """
    analysis = analyse(results)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    write_numbers(results, analysis, folder)
    write_file(folder / "report.html", _page(results, analysis, folder).encode())
    return analysis


def _page(results: Results, analysis: Analysis, folder: Path) -> str:
    plan, figures = results.plan, Figures(results, analysis)
    names = [cache.name for cache in results.caches]
    with manner():
        over = _figures(figures.over_caches(), folder / "plots", "all")
        sections = [
            _section(cache, analysis, evaluations(results)[0])
            + _figures(figures.of(cache), folder / "plots", stem)
            for cache, stem in zip(results.caches, file_stems(names), strict=True)
        ]
    return PAGE.substitute(
        title=escape(f"Comparison on {', '.join(names)}"),
        what=escape(_what(results)),
        verdicts="\n".join(f"<p>{escape(sentence)}</p>" for sentence in analysis.verdicts),
        over_caches=over,
        caches="\n".join(sections),
        pairs=len(analysis.comparisons),
        comparisons=comparison_tables(analysis.comparisons),
        plan=plan_table(plan),
        seeds=plan.seeds,
    )


def _what(results: Results) -> str:
    plan = results.plan
    arms = f"{len(plan.arms)} ways to choose labels and to learn from them"
    return f"{arms}, {plan.seeds} runs each. They are held against {plan.baseline} first."


def _section(cache: CacheResults, analysis: Analysis, evaluation: str) -> str:
    rows = [r for r in analysis.summaries if (r.cache, r.evaluation) == (cache.name, evaluation)]
    images = f"all {cache.test:,}" if evaluation == "all" else evaluation
    return (
        f"<h2>{escape(cache.name)}</h2>\n"
        f"<p>{cache.pool:,} images of {len(cache.classes):,} classes could be asked for; accuracy "
        f"is that on {images} test images.</p>\n{summary_table(rows)}\n"
        '<p class="note">In %, means over seeds with 95 % intervals. Labels to and labels saved '
        "are those of the mean curve.</p>\n"
    )


def _figures(pictures: Iterable[Picture], folder: Path, stem: str) -> str:
    return "\n".join(
        f"<h3>{escape(p.title)}</h3>\n<figure>\n"
        f'<div class="wide">{save(p.draw(), folder / f"{stem}-{p.name}")}</div>\n'
        f"<figcaption>{escape(p.caption)}</figcaption></figure>"
        for p in pictures
    )


def file_stems(names: Iterable[str]) -> list[str]:
    """Return a name for files for each cache: no two the same, nothing that a path may not hold."""
    stems: list[str] = []
    for name in names:
        stem = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "cache"
        choices = (stem, *(f"{stem}-{number}" for number in range(2, len(stems) + 3)))
        stems.append(next(choice for choice in choices if choice not in ("all", *stems)))
    return stems
