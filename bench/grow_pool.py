"""A cache of the size of a real project, grown out of real features.

    python bench/grow_pool.py SOURCE OUT.zarr [--rows 246841] [--test-rows 20000] [--classes 40]
        [--histogram report|tail|FILE] [--seed 0] [--measure]

SOURCE is a cache, or features made elsewhere as `clipcache import` takes them (.npz). How rows
grow, and what grown rows cannot show, is said in clipcache/benchmark/grow.py; the same seed gives
the same bytes. Run it again after a crash.

`--measure` says how hard the grown pool is beside the real one, on as many rows of each class as
the source has: top-1 of a linear probe on 1, 5 and 20 random labels a class and of the head that
the pool teaches, for labels and test rows of either kind, and the cosine to the nearest row. It
printed, with all classes, `--rows 20000` and 4,000 and 5,050 test rows (real > grown):

    CLIP ViT-B/32 of                         DTD, a = 0.75   DTD, 0.85     DTD, 0.9      UCF101 .85
    linear, 1 label a class                  32.7 > 37.1     32.7 > 35.9   32.7 > 35.0   50.4 > 51.2
    linear, 5                                56.3 > 59.9     56.3 > 58.2   56.3 > 56.8   68.7 > 69.3
    linear, 20                               68.8 > 71.3     68.8 > 70.0   68.8 > 68.9   76.1 > 75.9
    transductive, 1                          41.0 > 53.7     41.0 > 48.8   41.0 > 45.8   62.2 > 67.6
    transductive, 5                          60.3 > 67.4     60.3 > 64.9   60.3 > 63.2   74.2 > 74.8
    cosine to the nearest row, median        .884 > .899     .884 > .925   .884 > .948   .938 > .938
    nearest row is of its class, %             61 > 93         61 > 92       61 > 90       96 > 99

a was chosen on DTD, between hardness and copies, and UCF101 was only looked at.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import NamedTuple

import click
import numpy as np

from clipcache.arrays import Labels, RowIds, Vectors
from clipcache.benchmark.grow import grow
from clipcache.benchmark.sizes import (
    REPORT_CLASSES,
    REPORT_ROWS,
    Counts,
    class_sizes,
    read_sizes,
)
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.errors import ClipcacheError, SourceError
from clipcache.heads.base import Head, text_weights
from clipcache.heads.linear import Linear
from clipcache.heads.transductive import Transductive
from clipcache.import_features import ImportOptions, import_features
from clipcache.metrics import top_k_accuracy
from clipcache.text import LabelText
from clipcache.vectors.source import VectorOptions, open_vectors
from clipcache.whitening import PoolSample, unit

HEADS: tuple[tuple[Head, tuple[int, ...]], ...] = ((Linear(), (1, 5, 20)), (Transductive(), (1, 5)))
"""Who learns, and from how many labels a class."""
WAYS = ("real > real", "grown > real", "real > grown", "grown > grown")
DRAWS = 10
"""Draws of labels that an accuracy is the mean of."""


def open_source(path: Path, folder: Path) -> EmbeddingCache:
    """Return the cache at `path`, or one made in `folder` of the features there."""
    if (path / "zarr.json").exists():
        return EmbeddingCache.open(path)
    found = open_vectors(path, VectorOptions())
    import_features(found, folder / "source.zarr", ImportOptions())
    return EmbeddingCache.open(folder / "source.zarr")


def sizes(histogram: str, rows: int | None, classes: int | None) -> Counts:
    """Return the sizes of the classes; SourceError where a file says something else."""
    if histogram in ("report", "tail"):
        return class_sizes(histogram, rows or REPORT_ROWS, classes or REPORT_CLASSES)
    found = read_sizes(Path(histogram))
    for option, said, there in (("rows", rows, found.sum()), ("classes", classes, len(found))):
        if said not in (None, there):
            raise SourceError(
                f"{histogram} has {there} {option}, but --{option} is {said}: leave it out"
            )
    return found


def write(path: Path, out: Path, counts: Counts, test_rows: int, seed: int) -> str:
    """Grow the cache and return what was done, in a line."""
    with TemporaryDirectory() as folder:
        cache = open_source(path, Path(folder))
        source = Dataset.load(cache)
        name = f"{path.name} grown to {counts.sum()} + {test_rows} rows, seed {seed}"
        rng = np.random.default_rng(seed)
        began = time.perf_counter()
        found = grow(source, counts, test_rows, name=name, rng=rng)
        scale = source.text.logit_scale if source.text else ImportOptions.logit_scale
        import_features(found, out, ImportOptions(cache.identity.model, scale))
        seconds = time.perf_counter() - began
    return f"{out}: {name}; {seconds:.1f} s, {found.n / seconds:,.0f} rows a second"


class Sample(NamedTuple):
    """Some rows of a pool and of its test split."""

    x: Vectors
    y: Labels
    test_x: Vectors
    test_y: Labels


def samples(real: Dataset, grown: Dataset, rng: np.random.Generator) -> list[Sample]:
    """Return real and grown rows, equally many of each class, labelled as the grown ones are."""
    *pools, pool_y = alike(real, grown, "pool", rng)
    *tests, test_y = alike(real, grown, "test", rng)
    return [
        Sample(
            data.features[pool].astype(np.float32),
            pool_y,
            data.features[test].astype(np.float32),
            test_y,
        )
        for data, pool, test in zip((real, grown), pools, tests, strict=True)
    ]


def alike(
    real: Dataset, grown: Dataset, split: str, rng: np.random.Generator
) -> tuple[RowIds, RowIds, Labels]:
    """Return random real and grown rows, as many of a class as both have, and their classes."""
    taken: tuple[list[RowIds], list[RowIds]] = ([], [])
    for name in grown.names:
        rows = []
        for data in (real, grown):
            inside = getattr(data, split)
            rows.append(inside[data.labels[inside] == data.names.index(name)])
        size = min(map(len, rows))
        for of_class, kept in zip(rows, taken, strict=True):
            kept.append(rng.choice(of_class, size, replace=False))
    y = np.repeat(np.arange(len(grown.names)), list(map(len, taken[0])))
    return np.concatenate(taken[0]), np.concatenate(taken[1]), y


def accuracy(head: Head, labels: int, learn: Sample, tests: list[Sample]) -> list[float]:
    """Return top-1 in percent on each of the tests after so many labels a class, mean of draws."""
    pool = PoolSample(learn.x, np.arange(len(learn.x)))
    classes = int(learn.y.max()) + 1
    found = []
    for draw in range(DRAWS):
        rng = np.random.default_rng((labels, draw))
        order = rng.permutation(len(learn.y))
        rows = np.concatenate([order[learn.y[order] == c][:labels] for c in range(classes)])
        fitted = head.fit(
            learn.x[rows], learn.y[rows], n_classes=classes, text=None, rng=rng, pool=pool
        )
        found.append([100 * top_k_accuracy(fitted.logits(t.test_x), t.test_y, 1) for t in tests])
    return [fmean(test) for test in zip(*found, strict=True)]


def nearest(sample: Sample) -> str:
    """Return how close a row's nearest row is, and how often it shows the same class."""
    x = unit(sample.x)
    cosines = x @ x.T
    np.fill_diagonal(cosines, -1)
    low, middle, high = np.quantile(cosines.max(axis=1), [0.1, 0.5, 0.9])
    same = (sample.y[cosines.argmax(axis=1)] == sample.y).mean()
    return f"{low:.3f}, {middle:.3f}, {high:.3f}; of its class {100 * same:.0f} %"


def measure(real: Dataset, grown: Dataset) -> Iterator[str]:
    """Yield lines that say how hard the grown pool is beside the real one."""
    pair = samples(real, grown, np.random.default_rng(0))
    yield f"{'top-1 in %, labels > test':30}" + "".join(f"{way:>15}" for way in WAYS)
    for head, budgets in HEADS:
        for labels in budgets:
            (rr, rg), (gr, gg) = (accuracy(head, labels, learn, pair) for learn in pair)
            title = f"{type(head).__name__.lower()}, {labels} a class"
            yield f"{title:30}" + "".join(f"{value:15.1f}" for value in (rr, gr, rg, gg))
    for name, sample in zip(("real", "grown"), pair, strict=True):
        if grown.text and grown.text.templates:
            yield f"zero-shot, {name} test rows: {zero_shot(sample, grown.text):.1f}"
        yield f"nearest of {len(sample.x)} {name} rows, 10, 50, 90 %: {nearest(sample)}"


def zero_shot(sample: Sample, text: LabelText) -> float:
    """Return top-1 of the class names' vectors in percent."""
    head = text_weights(text, len(text.names), sample.x[:0], sample.y[:0], head="zero_shot")
    return 100 * top_k_accuracy(head.logits(sample.test_x), sample.test_y, 1)


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--rows", type=click.IntRange(1), help=f"Images of the pool.  [{REPORT_ROWS}]")
@click.option("--test-rows", type=click.IntRange(1), default=20_000, show_default=True)
@click.option("--classes", type=click.IntRange(1), help=f"The largest ones.  [{REPORT_CLASSES}]")
@click.option(
    "--histogram",
    default="report",
    show_default=True,
    metavar="report|tail|FILE",
    help="Images a class: 25,000 down to 1,700 with the default rows and classes; the same with "
    "500 to 50 for the rarest quarter; or what a text file says, one number a line.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--measure", "measured", is_flag=True, help="Say how hard the grown pool is.")
def main(
    source: Path,
    out: Path,
    rows: int | None,
    test_rows: int,
    classes: int | None,
    histogram: str,
    seed: int,
    measured: bool,
) -> None:
    """Grow the features or cache SOURCE to the cache OUT."""
    try:
        counts = sizes(histogram, rows, classes)
        click.echo(write(source, out, counts, test_rows, seed))
        if measured:
            with TemporaryDirectory() as folder:
                real = Dataset.load(open_source(source, Path(folder)))
                for line in measure(real, Dataset.load(EmbeddingCache.open(out))):
                    click.echo(line)
    except ClipcacheError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
