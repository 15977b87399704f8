"""Every number of a comparison as CSV, for spreadsheets, and as JSON, for programs."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Any

from clipcache.comparison.analysis import Analysis
from clipcache.comparison.results import Results
from clipcache.durable import write_file
from clipcache.stats import Interval

Record = dict[str, Any]
"""Column -> a text, a number, or None where there is none."""


def write_numbers(results: Results, analysis: Analysis, folder: Path) -> None:
    """Write rounds.csv, summary.csv, comparisons.csv and results.json, which has all of them."""
    tables = {
        "rounds": list(round_records(results)),
        "summary": [_flat(vars(row)) for row in analysis.summaries],
        "comparisons": [
            _flat({**vars(row), "shown": row.shown, "words": row.words})
            for row in analysis.comparisons
        ],
    }
    for name, records in tables.items():
        write_file(folder / f"{name}.csv", _csv(records).encode())
    caches = [
        {
            "name": cache.name,
            "pool": cache.pool,
            "test": cache.test,
            "classes": cache.classes,
            "pool_counts": cache.pool_counts,
        }
        for cache in results.caches
    ]
    content = {
        "verdicts": analysis.verdicts,
        "plan": asdict(results.plan),
        "caches": caches,
        **tables,
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(folder / "results.json", text.encode())


def round_records(results: Results) -> Iterator[Record]:
    """Yield what each round of each run measured on each set of evaluation images."""
    for cache in results.caches:
        for arm in results.plan.arms:
            for seed, trial in enumerate(cache.trials[arm.name]):
                for number, labels in enumerate(trial.labels):
                    for evaluation, metrics in trial.measured.items():
                        yield {
                            "cache": cache.name,
                            "arm": arm.name,
                            "seed": seed,
                            "round": number,
                            "labels": labels,
                            "evaluation": evaluation,
                            **{name: _known(values[number]) for name, values in metrics.items()},
                            "seconds": trial.seconds[number],
                        }


def _flat(values: dict[str, Any]) -> Record:
    """Return one column a number: an interval becomes `name`, `name_low` and `name_high`."""
    record: Record = {}
    for name, value in values.items():
        if isinstance(value, Interval):
            mean, low, high = map(_known, value)
            record |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        else:
            record[name] = _known(value) if isinstance(value, float) else value
    return record


def _known(value: float) -> float | None:
    """Return None for what is unknown or never reached: JSON has neither NaN nor infinity."""
    return value if isfinite(value) else None


def _csv(records: Sequence[Record]) -> str:
    out = StringIO()
    columns = list(dict.fromkeys(name for record in records for name in record))
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()
