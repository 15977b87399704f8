"""Whether the default head keeps its promises, on features that were made elsewhere.

    python bench/heads.py FEATURES.npz ... [--seeds 10] [--json]

First: `auto` against the two that it mixes, each with clipcache's other defaults, 12 rounds of 20
after a start of one label for each class name. Means over the learning curve in points of top-1;
`gap` is `auto` minus the better of the two, paired by seed, with a 95 % interval over seeds.

Second, where class names have vectors: `text_prior` against `zero_shot`, from no label at all over
starts of 1, 2, 5 and 10 labels to the last round. Where only some names have one, the same again
on the images of those classes alone: zero-shot never predicts the others, and so is easily beaten.
`lowest` is the lowest mean over seeds of the difference, and the number of labels it is found at.

FEATURES.npz holds pool_x, pool_y, test_x, test_y, class_names and perhaps text_x.
"""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from clipcache import registry
from clipcache.benchmark.real import cache_of
from clipcache.cache.reader import EmbeddingCache
from clipcache.curves import area
from clipcache.dataset import Dataset
from clipcache.errors import ClipcacheError
from clipcache.experiment import Experiment, simulate_all
from clipcache.heads.base import Head
from clipcache.labels import Round
from clipcache.metrics import top_k_accuracy
from clipcache.run_config import RunConfig
from clipcache.stats import mean_interval

DEFAULTS = RunConfig(batch=20, rounds=12)
MIXED = ("linear", "transductive")
FEW = (1, 2, 5, 10)
"""Labels before there is one for each class name."""


def mixture(cache: Path, seeds: int) -> dict[str, Any]:
    """Return the height of the curve of each head, and `auto` against the better of the others."""
    configs = [replace(DEFAULTS, head=head) for head in ("auto", *MIXED)]
    height = {
        config.head: np.array([_height(rounds) for rounds in each])
        for config, each in zip(configs, _runs(cache, configs, seeds), strict=True)
    }
    better = max(MIXED, key=lambda head: float(height[head].mean()))
    return {
        "heights": {head: float(each.mean()) for head, each in height.items()},
        "better": better,
        "gap": mean_interval((height["auto"] - height[better]).tolist())._asdict(),
    }


def prior(cache: Path, seeds: int) -> dict[str, Any]:
    """Return zero-shot's accuracy, and how far `text_prior` is above it at each label count."""
    data = Dataset.load(EmbeddingCache.open(cache))
    zero_shot = _without_labels(data, "zero_shot")
    whole = replace(DEFAULTS, head="text_prior")
    few = [
        replace(whole, init=f"kmeans:{count}", rounds=0) for count in FEW if count < len(data.names)
    ]
    gains = {0: _without_labels(data, "text_prior") - zero_shot}
    for each in _runs(cache, [*few, whole], seeds):
        for at in zip(*each, strict=True):  # the same round of each seed
            gains[at[0].labels] = 100 * float(np.mean([r.top1 for r in at])) - zero_shot
    labels = min(gains, key=gains.__getitem__)
    return {
        "classes": len(data.names),
        "zero_shot": zero_shot,
        "gains": gains,
        "lowest": {"labels": labels, "points": gains[labels]},
    }


def _runs(cache: Path, configs: list[RunConfig], seeds: int) -> list[list[list[Round]]]:
    """Return the rounds of each configuration, a list for each seed."""
    found = simulate_all(
        [Experiment(cache, replace(c, seed=seed)) for c in configs for seed in range(seeds)]
    )
    return [[next(found) for _ in range(seeds)] for _ in configs]


def _height(rounds: list[Round]) -> float:
    return 100 * area([r.labels for r in rounds], [r.top1 for r in rounds])


def _without_labels(data: Dataset, name: str) -> float:
    """Return the top-1 accuracy, in percent, of a head that was given no label."""
    head: Head = registry.load("heads", name)()
    none = data.pool[:0]
    fitted = head.fit(
        data.features[none].astype(np.float32),
        data.labels[none],
        n_classes=len(data.names),
        text=data.text,
        rng=np.random.default_rng(0),
    )
    test = data.test[data.labels[data.test] >= 0]
    logits = fitted.logits(data.features[test].astype(np.float32))
    return 100 * top_k_accuracy(logits, data.labels[test], 1)


def named_only(arrays: dict[str, Any]) -> dict[str, Any]:
    """Return the arrays of a .npz file without the classes whose names have no vector."""
    named = np.isfinite(arrays["text_x"]).all(axis=1)
    place = np.where(named, np.cumsum(named) - 1, -1)
    kept = {"class_names": arrays["class_names"][named], "text_x": arrays["text_x"][named]}
    for split in ("pool", "test"):
        x, y = arrays[f"{split}_x"], arrays[f"{split}_y"]
        some = (y >= 0) & named[y]
        kept |= {f"{split}_x": x[some], f"{split}_y": place[y[some]]}
    return kept


def measure(path: Path, folder: Path, seeds: int) -> dict[str, Any]:
    """Return what is printed for one file."""
    cache = cache_of(path, folder)
    found: dict[str, Any] = {"set": path.stem, **mixture(cache, seeds), "prior": []}
    with np.load(path) as saved:
        arrays = dict(saved)
    if "text_x" in arrays:
        found["prior"].append(prior(cache, seeds))
        if np.isnan(arrays["text_x"]).any():
            reduced = folder / f"{path.stem} named.npz"
            np.savez(reduced, **named_only(arrays))
            found["prior"].append(prior(cache_of(reduced, folder), seeds))
    return found


@click.command()
@click.argument("features", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seeds", type=click.IntRange(2), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def main(features: tuple[Path, ...], seeds: int, as_json: bool) -> None:
    """Measure the heads on each file of FEATURES."""
    sets = []
    try:
        with TemporaryDirectory() as folder:
            for path in features:
                sets.append(measure(path, Path(folder), seeds))
                if not as_json:
                    click.echo(_lines(sets[-1]))
    except ClipcacheError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"seeds": seeds, "sets": sets}, indent=2))


def _lines(s: dict[str, Any]) -> str:
    gap = s["gap"]
    heights = "  ".join(f"{head} {height:.1f}" for head, height in s["heights"].items())
    rows = [
        f"{s['set']}: {heights}  "
        f"gap to {s['better']} {gap['mean']:+.1f} ({gap['low']:+.1f} to {gap['high']:+.1f})"
    ]
    for found in s["prior"]:
        lowest = found["lowest"]
        rows.append(
            f"  names of {found['classes']} classes: zero_shot {found['zero_shot']:.1f}, "
            f"text_prior lowest {lowest['points']:+.1f} at {lowest['labels']} labels"
        )
        rows.append("    labels" + "".join(f"{labels:6d}" for labels in found["gains"]))
        rows.append("    above " + "".join(f"{gain:+6.1f}" for gain in found["gains"].values()))
    return "\n".join(rows)


if __name__ == "__main__":
    main()
