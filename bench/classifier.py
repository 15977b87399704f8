"""How far a classifier and its doubts can be trusted, on features that were made elsewhere.

    python bench/classifier.py FEATURES.npz ... [--seeds 3] [--json]

Both are measured on what a run with the default strategy has labelled, after 5, 10 and 24 rounds of
20; all numbers are means over seeds.

First, how sure each head is: the calibration error (15 bins) on test rows in points, and in
brackets by how much it is surer than right. `fitted` is the head as it is, `crossed` with a
temperature from labels by cross-validation, `held_out` with one from 50 test rows, measured on the
others.

Second, labels that are doubted, one in twenty of them made wrong: how many of the first 20 that are
listed are wrong, and how many of all wrong ones are among the first 20 and the first 50. `review`
is what `clipcache review` lists; `joint` is confident learning with its own thresholds and order
(by normalized margin), on the same probabilities.

FEATURES.npz holds pool_x, pool_y, test_x, test_y, class_names and perhaps text_x.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import numpy as np
from scipy.special import softmax

from clipcache.arrays import Float64, Labels, Logits, RowIds
from clipcache.benchmark.real import cache_of
from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.calibration import fit_temperature
from clipcache.classifier.lesson import Lesson
from clipcache.dataset import Dataset
from clipcache.errors import ClipcacheError
from clipcache.loop import oracle_of
from clipcache.metrics import expected_calibration_error
from clipcache.processes import run_all
from clipcache.review import find_doubts
from clipcache.run import Run
from clipcache.run_config import RunConfig

HEADS = ("auto", "transductive", "linear")
ROUNDS = (5, 10, 24)
BATCH = 20
HELD_OUT = 50
WRONG = 20
"""One label in so many is made wrong."""


class Task(NamedTuple):
    cache: Path
    head: str
    seed: int


def lessons(task: Task) -> Iterator[Lesson]:
    """Yield what a run has to learn from after each number of rounds."""
    config = RunConfig(batch=BATCH, rounds=max(ROUNDS), head=task.head, seed=task.seed)
    with TemporaryDirectory() as folder:
        run = Run.begin(Path(folder), config, EmbeddingCache.open(task.cache))
        oracle = oracle_of(run.data, config)
        for number in range(max(ROUNDS) + 1):
            batch = run.propose()
            run.record(batch, oracle.label(batch), annotator="replay", source="cache")
            if number in ROUNDS:
                yield Lesson.of(run)
        run.store.close()


def measure(task: Task) -> list[dict[str, Any]]:
    """Return the figures of one run, an entry for each number of rounds."""
    data = Dataset.load(EmbeddingCache.open(task.cache))
    test = data.test[data.labels[data.test] >= 0]
    x, y = data.features[test].astype(np.float32), data.labels[test]
    rng = np.random.default_rng(task.seed)
    found = []
    for lesson in lessons(task):
        judged = lesson.out_of_fold()
        some, others = np.split(rng.permutation(len(y)), [HELD_OUT])
        logits = lesson.fit().logits(x)
        temperatures = {
            "fitted": 1.0,
            "crossed": fit_temperature(judged.logits, lesson.y[judged.places]),
            "held_out": fit_temperature(logits[some], y[some]),
        }
        sure = {
            name: _sure(logits[others] / np.float32(t), y[others])
            for name, t in temperatures.items()
        }
        doubts = _doubts(lesson, rng) if task.head == HEADS[0] else None
        found.append({"labels": len(lesson.y), "sure": sure, "doubts": doubts})
    return found


def _sure(logits: Logits, y: Labels) -> tuple[float, float]:
    """Return the calibration error, and how much surer than right the logits are, in points."""
    probs = softmax(logits, axis=1)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == y
    error = expected_calibration_error(confidence, right)
    return 100 * error, 100 * float(confidence.mean() - right.mean())


def _doubts(lesson: Lesson, rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    """Return in percent, for each way to doubt: of the first 20 wrong, found by 20, by 50."""
    count, classes = len(lesson.y), len(lesson.names)
    wrong = np.zeros(count, dtype=np.bool_)
    wrong[rng.choice(count, count // WRONG, replace=False)] = True
    other = (lesson.y + rng.integers(1, classes, count)) % classes
    lesson = replace(lesson, y=np.where(wrong, other, lesson.y))
    judged = lesson.out_of_fold()
    probs = softmax(judged.logits.astype(np.float64), axis=1)
    given = lesson.y[judged.places]
    orders = {"review": find_doubts(probs, given).places, "joint": confident_joint(probs, given)}
    return {name: _shares(wrong, judged.places[order]) for name, order in orders.items()}


def _shares(wrong: Any, listed: RowIds) -> tuple[float, float, float]:
    """Return how many of the first 20 are wrong, and how many wrong ones 20 and 50 hold, in %."""
    first, more = (float(wrong[listed[:top]].sum()) for top in (20, 50))
    total = float(wrong.sum())
    return 100 * first / max(len(listed[:20]), 1), 100 * first / total, 100 * more / total


def confident_joint(probs: Float64, labels: Labels) -> RowIds:
    """Return the places that confident learning suspects, the smallest margin first.

    A row is suspected where it is as likely to be of another class as rows of that class are on
    average; the likeliest of those classes counts (Northcutt, Jiang, Chuang 2021, section 3.1).
    """
    classes = probs.shape[1]
    own = probs[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    usual = np.full(classes, np.inf)
    np.divide(np.bincount(labels, own, classes), counts, out=usual, where=counts > 0)
    reached = np.where(probs >= usual, probs, -1.0)
    counted_as = np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), labels)
    others = probs.copy()
    others[np.arange(len(labels)), labels] = -1.0
    suspected = np.flatnonzero(counted_as != labels)
    margin = own - others.max(axis=1)
    return suspected[np.argsort(margin[suspected], kind="stable")]


@click.command()
@click.argument("features", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def main(features: tuple[Path, ...], seeds: int, as_json: bool) -> None:
    """Measure classifiers and doubts on each file of FEATURES."""
    try:
        with TemporaryDirectory() as folder:
            tasks = [
                Task(cache, head, seed)
                for cache in [cache_of(path, Path(folder)) for path in features]
                for head in HEADS
                for seed in range(seeds)
            ]
            results = dict(run_all(measure, tasks))
    except ClipcacheError as error:
        raise click.ClickException(str(error)) from error
    runs = [(task, results[place]) for place, task in enumerate(tasks)]
    if as_json:
        found = [{"set": t.cache.stem, "head": t.head, "seed": t.seed, "at": r} for t, r in runs]
        click.echo(json.dumps(found, indent=2))
        return
    for line in _lines(runs):
        click.echo(line)


def _lines(runs: Sequence[tuple[Task, list[dict[str, Any]]]]) -> Iterator[str]:
    sets = list(dict.fromkeys(task.cache for task, _ in runs))
    for place, rounds in enumerate(ROUNDS):
        at = [(task, found[place]) for task, found in runs]
        yield f"after {rounds} rounds: {fmean(one['labels'] for _, one in at):.0f} labels"
        for head in HEADS:
            row = f"  {head:13s}"
            for name in ("fitted", "crossed", "held_out"):
                pairs = {
                    cache: [
                        one["sure"][name] for t, one in at if (t.cache, t.head) == (cache, head)
                    ]
                    for cache in sets
                }
                error = fmean(pair[0] for each in pairs.values() for pair in each)
                over = [fmean(pair[1] for pair in each) for each in pairs.values()]
                row += f"  {name} {error:4.1f} ({fmean(over):+5.1f}, at most {max(over):+5.1f})"
            yield row
        for way in ("review", "joint"):
            shares = [one["doubts"][way] for _, one in at if one["doubts"]]
            first, by20, by50 = (fmean(column) for column in zip(*shares, strict=True))
            yield (
                f"  {way:13s}  of the first 20 wrong {first:3.0f} %, "
                f"of all wrong ones by 20 {by20:3.0f} %, by 50 {by50:3.0f} %"
            )


if __name__ == "__main__":
    main()
