"""The tables of a comparison's page."""

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from math import isfinite, isnan

from clipcache.comparison.pairs import Comparison
from clipcache.comparison.plan import Plan
from clipcache.comparison.questions import options
from clipcache.comparison.summary import Summary
from clipcache.stats import Interval

METRIC_NAMES = {
    "top1": "top-1",
    "tail_recall": "recall of rare classes",
    "head_recall": "recall of common classes",
    "macro_recall": "macro recall",
}
OPTION_NAMES = {"subsample": "images scored", "init": "start", "label_noise": "wrong labels"}


def summary_table(rows: Sequence[Summary]) -> str:
    """Return one line an arm, from the summaries of one cache and one evaluation."""
    top1 = [row for row in rows if row.metric == "top1"]
    rare = {row.arm: row for row in rows if row.metric == "tail_recall"}
    trust = {row.arm: row for row in rows if row.metric == "ece"}
    starts, ends = ({f"{n:g}" for n in found} for found in _labels(top1))
    target = top1[0].target or 0.0
    heads = [
        "arm",
        f"top-1 at {starts.pop()} labels" if len(starts) == 1 else "top-1 at the start",
        f"at {ends.pop()} labels" if len(ends) == 1 else "at the end",
        _area_head(top1),
        f"labels to {100 * target:.1f} %",
        "labels saved",
        "recall of rare classes, end",
        "calibration error, end",
    ]
    body = [
        [
            escape(row.arm),
            percent(row.start) + _at(row.first_labels, len(starts)),
            percent(row.final) + _at(row.last_labels, len(ends)),
            percent(row.area),
            _labels_to(row.labels_to_target),
            _saved(row.labels_saved),
            percent(rare[row.arm].final),
            percent(trust[row.arm].final),
        ]
        for row in top1
    ]
    return table(heads, body)


def comparison_tables(comparisons: Iterable[Comparison]) -> str:
    """Return one table a question."""
    parts = []
    for question, found in groupby(comparisons, key=lambda c: c.question):
        rows = list(found)
        body = [
            [
                f"{escape(c.one)}<br>against {escape(c.other)}",
                escape(c.cache),
                escape(c.evaluation),
                METRIC_NAMES[c.metric],
                signed(c.gain),
                f"{c.p:.3g}",
                f"{c.adjusted_p:.3g}",
            ]
            for c in rows
        ]
        heads = ["pair", "cache", "images", "measure", "gain", "p", "adjusted p"]
        shown = [c.shown for c in rows]
        parts.append(f"<h3>{escape(question)}</h3>\n{table(heads, body, shown, left=1)}")
    return "\n".join(parts)


def plan_table(plan: Plan) -> str:
    """Return the options in which arms differ, one line an arm, and those that all share."""
    chosen = {arm.name: options(arm) for arm in plan.arms}
    names = list(next(iter(chosen.values())))
    differ = [name for name in names if len({own[name] for own in chosen.values()}) > 1]
    body = [
        [
            escape(arm.name),
            *(escape(_option(name, chosen[arm.name][name])) for name in differ),
            "a fresh sample and model each time" if arm.traditional else "",
        ]
        for arm in plan.arms
    ]
    shared = "; ".join(
        f"{OPTION_NAMES.get(name, name.replace('_', ' '))} "
        f"{_option(name, chosen[plan.arms[0].name][name])}"
        for name in names
        if name not in differ
    )
    heads = ["arm", *(OPTION_NAMES.get(name, name.replace("_", " ")) for name in differ), ""]
    return f'{table(heads, body)}\n<p class="note">The same for all: {escape(shared)}.</p>'


def table(
    heads: Sequence[str],
    body: Sequence[Sequence[str]],
    bold: Sequence[bool] = (),
    *,
    left: int = 1,
) -> str:
    """Return a table of escaped cells that scrolls where it is too wide."""
    marks = bold or [False] * len(body)
    head = "".join(
        f'<th class="words">{cell}</th>' if i < left else f"<th>{cell}</th>"
        for i, cell in enumerate(heads)
    )
    lines = [
        f"<tr{mark * ' class=shown'}>"
        + "".join(
            f'<td class="words">{cell}</td>' if i < left else f"<td>{cell}</td>"
            for i, cell in enumerate(cells)
        )
        + "</tr>"
        for mark, cells in zip(marks, body, strict=True)
    ]
    rows = "\n".join(lines)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>'


def percent(interval: Interval) -> str:
    """Return a cell for a share in [0, 1]."""
    mean, low, high = (100 * x for x in interval)
    return f"{mean:.1f}" + ("" if isnan(low) else f"<small>{low:.1f} to {high:.1f}</small>")


def signed(interval: Interval) -> str:
    """Return a cell for a difference."""
    mean, low, high = interval
    return f"{mean:+.1f}" + ("" if isnan(low) else f"<small>{low:+.1f} to {high:+.1f}</small>")


def _labels(rows: Sequence[Summary]) -> tuple[list[float], list[float]]:
    return [row.first_labels for row in rows], [row.last_labels for row in rows]


def _area_head(rows: Sequence[Summary]) -> str:
    spans = {(row.area_from, row.area_to) for row in rows}
    if len(spans) > 1:
        return "mean over the curve (each its own)"
    first, last = spans.pop()
    return f"mean over {first} to {last}"


def _at(labels: float, kinds: int) -> str:
    """Return the label count for a cell, unless the head of the column tells it for all."""
    return f"<small>at {labels:g}</small>" if kinds > 1 else ""


def _labels_to(found: float | None) -> str:
    return f"{found:.0f}" if found is not None and isfinite(found) else "never"


def _saved(saved: Interval | None) -> str:
    if saved is None or not saved.mean:
        return "never"
    low = f"{saved.low:.2f}" if saved.low else "never"
    span = "" if isnan(saved.low) else f"<small>{low} to {saved.high:.2f}</small>"
    return f"{saved.mean:.2f}x{span}"


def _option(name: str, value: object) -> str:
    return "all" if name == "subsample" and value is None else str(value)
