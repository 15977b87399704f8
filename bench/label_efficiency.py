"""How many labels the default recipe saves, on features that were made elsewhere.

    python bench/label_efficiency.py FEATURES.npz ... [--seeds 10] [--json]

Three ways to label, paired by seed, 12 rounds of 20 after a start of one label for each class name:

- baseline: a random start, random labels, a linear probe;
- report: one image of each class, the smallest margins of 300 random images, a linear probe;
- clipcache: its defaults, which look at no label before they have asked for it.

`label_ratio` is how many times fewer labels clipcache needs to get where the baseline's mean curve
ends; `auc_gain` is how much higher its curve lies on average, in points of top-1 on the test rows,
with a 95 % interval over seeds. No run looks at a test row before it is measured. The defaults are
the same for all files; README says which sets they were chosen on.

FEATURES.npz holds pool_x, pool_y, test_x, test_y, class_names and perhaps text_x.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean, geometric_mean
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from clipcache.benchmark.real import cache_of
from clipcache.curves import Curve, area, label_ratio, mean_curve
from clipcache.experiment import Experiment, simulate_all
from clipcache.run_config import RunConfig
from clipcache.stats import mean_interval

ROUNDS, BATCH = 12, 20


DEFAULTS = RunConfig(batch=BATCH, rounds=ROUNDS)
RECIPES = {
    "baseline": replace(DEFAULTS, init="random", strategy="random", head="linear"),
    "report": replace(
        DEFAULTS, init="stratified:1", strategy="margin", subsample=300, head="linear"
    ),
    "clipcache": DEFAULTS,
}


def measure(path: Path, folder: Path, seeds: int) -> dict[str, Any]:
    """Return what is printed for one file."""
    cache = cache_of(path, folder)
    names = [name for name in RECIPES for _ in range(seeds)]
    experiments = [
        Experiment(cache, replace(config, seed=seed))
        for config in RECIPES.values()
        for seed in range(seeds)
    ]
    curves: dict[str, list[Curve]] = {name: [] for name in RECIPES}
    for name, rounds in zip(names, simulate_all(experiments), strict=True):
        labels = np.array([closed.labels for closed in rounds])
        curves[name].append(Curve(labels, np.array([closed.top1 for closed in rounds])))
    means = {name: mean_curve(runs) for name, runs in curves.items()}
    height = {name: np.array([100 * area(*run) for run in runs]) for name, runs in curves.items()}
    return {
        "set": path.stem,
        "label_ratio": label_ratio(means["baseline"], means["clipcache"]),
        "auc_gain": mean_interval((height["clipcache"] - height["baseline"]).tolist()),
        "auc_gain_vs_report": mean_interval((height["clipcache"] - height["report"]).tolist()),
        "labels": means["baseline"].labels.tolist(),
        "curves": {name: (100 * mean.accuracy).round(2).tolist() for name, mean in means.items()},
        "recipes": {name: asdict(config) for name, config in RECIPES.items()},
    }


@click.command()
@click.argument("features", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seeds", type=click.IntRange(2), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def main(features: tuple[Path, ...], seeds: int, as_json: bool) -> None:
    """Measure the default recipe on each file of FEATURES."""
    sets = []
    with TemporaryDirectory() as folder:
        for path in features:
            sets.append(measure(path, Path(folder), seeds))
            if not as_json:
                click.echo(_lines(sets[-1]))
    total = {
        "geomean_label_ratio": geometric_mean(max(s["label_ratio"], 1e-9) for s in sets),
        "mean_auc_gain": fmean(s["auc_gain"].mean for s in sets),
    }
    if as_json:
        for s in sets:
            for key in ("auc_gain", "auc_gain_vs_report"):
                s[key] = s[key]._asdict()
        click.echo(json.dumps({"seeds": seeds, "sets": sets, **total}, indent=2))
    else:
        click.echo("  ".join(f"{name} {value:.2f}" for name, value in total.items()))


def _lines(s: dict[str, Any]) -> str:
    gain, report = s["auc_gain"], s["auc_gain_vs_report"]
    rows = [f"{s['set']}: {s['labels'][0]} to {s['labels'][-1]} labels"]
    rows += [f"  {name:10s}" + " ".join(f"{a:5.1f}" for a in c) for name, c in s["curves"].items()]
    rows.append(
        f"  label_ratio {s['label_ratio']:.2f}  "
        f"auc_gain {gain.mean:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]  "
        f"auc_gain_vs_report {report.mean:+.1f} [{report.low:+.1f}, {report.high:+.1f}]"
    )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
