"""Our strategies against scikit-activeml's, on features that were made elsewhere.

    python bench/against_skactiveml.py FEATURES.npz ... [--seeds 5] [--rounds 6] [--json]

Everything but the choice is shared: the features, a random start of one label for each class name,
rounds of 20 labels, and clipcache's head `linear`, fitted once a round, which asks for the next
batch on both sides and is measured on the test rows. scikit-activeml gets it as a classifier that
is fitted already, and the pool as float32 rows, whose copying is not counted as time. Strategies
keep their own defaults; only what is random in scikit-activeml's is given a seed.

`ours` and `theirs` are means over the learning curve in points of top-1, `difference` is of pairs
with the same seed, with a 95 % interval over seeds. Where namesakes are not the same: our
`drop_query` scales up what is left, as dropout does; our `typiclust` looks at 20 neighbours in the
whitened space, theirs at 5 of plain vectors, with which ours is level with theirs. Seconds are the
median over all batches, in one thread. `pip install "clipcache[peers]"` brings scikit-activeml.
"""

import json
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import numpy as np
from scipy.special import softmax

from clipcache import registry
from clipcache.arrays import Probs, RowIds, Vectors
from clipcache.cache.reader import EmbeddingCache
from clipcache.curves import area
from clipcache.dataset import Dataset
from clipcache.errors import ClipcacheError
from clipcache.heads.linear import Linear
from clipcache.import_features import ImportOptions, import_features
from clipcache.metrics import top_k_accuracy
from clipcache.pool import Pool
from clipcache.projection import HasLogits
from clipcache.stats import mean_interval
from clipcache.strategies.base import Strategy
from clipcache.threads import available_threads, limit_threads
from clipcache.vectors.source import VectorOptions, open_vectors
from clipcache.whitening import PoolSample

BATCH = 20


@dataclass(frozen=True, eq=False)
class Theirs:
    """A strategy of scikit-activeml, behind the door of ours."""

    query: Callable[..., Any]
    """(x, y, classifier, seed, budget) to places in x."""
    rows: RowIds
    """(p,) the pool, sorted."""
    x: Vectors = field(repr=False)
    """(p, d) their float32 vectors."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        y = np.full(len(self.x), np.nan)
        y[np.searchsorted(self.rows, pool.labeled)] = pool.labels
        seed = int(rng.integers(2**31))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The number of unique classes")  # labels are few
            model = _classifier(pool.head, pool.classes).fit(self.x, y)
            places = self.query(self.x, y, model, seed, budget)
        return self.rows[places]


def _drop_query(x: Vectors, y: Any, head: Any, seed: int, budget: int) -> Any:
    from skactiveml.pool import DropQuery

    query = DropQuery(cluster_algo_dict={"random_state": seed}, random_state=seed)
    return query.query(x, y, head, fit_clf=False, batch_size=budget)


def _typiclust(x: Vectors, y: Any, head: Any, seed: int, budget: int) -> Any:
    from skactiveml.pool import TypiClust

    return TypiClust(random_state=seed).query(x, y, batch_size=budget)


def _badge(x: Vectors, y: Any, head: Any, seed: int, budget: int) -> Any:
    from skactiveml.pool import Badge

    return Badge(random_state=seed).query(x, y, head, fit_clf=False, batch_size=budget)


def _core_set(x: Vectors, y: Any, head: Any, seed: int, budget: int) -> Any:
    from skactiveml.pool import CoreSet

    return CoreSet(random_state=seed).query(x, y, batch_size=budget)


def _margin(x: Vectors, y: Any, head: Any, seed: int, budget: int) -> Any:
    from skactiveml.pool import UncertaintySampling

    query = UncertaintySampling(method="margin_sampling", random_state=seed)
    return query.query(x, y, head, fit_clf=False, batch_size=budget)


PAIRS = {
    "drop_query": _drop_query,
    "typiclust": _typiclust,
    "badge": _badge,
    "k_center": _core_set,
    "margin": _margin,
}
"""Our strategy and theirs of the same paper."""


def _classifier(head: HasLogits, classes: int) -> Any:
    """Return the head as a classifier of scikit-activeml, whose fit changes nothing."""
    from skactiveml.classifier import SklearnClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Fitted(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        classes_ = np.arange(classes)

        def fit(self, X: Vectors, y: RowIds) -> Any:  # their wrapper passes arguments by name
            return self

        def predict(self, X: Vectors) -> RowIds:
            return head.logits(X).argmax(axis=1)

        def predict_proba(self, X: Vectors) -> Probs:
            probs: Probs = softmax(head.logits(X), axis=1)
            return probs

    return SklearnClassifier(Fitted(), classes=np.arange(classes))


class Task(NamedTuple):
    """One learning curve to measure."""

    cache: Path
    strategy: str
    ours: bool
    rounds: int
    seed: int


class Measured(NamedTuple):
    height: float
    """Mean over the learning curve, points of top-1."""
    seconds: list[float]
    """Of each batch."""


def measure(task: Task) -> Measured:
    """Replay the labels of a cache and return what is measured of one strategy."""
    data = Dataset.load(EmbeddingCache.open(task.cache))
    pool, test = (rows[data.labels[rows] >= 0] for rows in (data.pool, data.test))
    vectors, unseen = (data.features[rows].astype(np.float32) for rows in (pool, test))
    ours: Strategy = registry.load("strategies", task.strategy)()
    strategy = ours if task.ours else Theirs(PAIRS[task.strategy], pool, vectors)
    rng = np.random.default_rng(task.seed)
    asked = rng.choice(pool, len(data.names), replace=False)
    sample = PoolSample.draw(data.features, pool, len(data.names), rng=rng)
    counts, top1, seconds = [], [], []
    for left in reversed(range(task.rounds + 1)):
        x, y = data.features[asked].astype(np.float32), data.labels[asked]
        head = Linear().fit(x, y, n_classes=len(data.names), text=None, rng=rng)
        counts.append(len(asked))
        top1.append(top_k_accuracy(head.logits(unseen), data.labels[test], 1))
        if left:
            known = Pool(data.features, head, np.setdiff1d(pool, asked), asked, y, sample)
            began = time.perf_counter()
            batch = strategy.select(known, BATCH, rng=rng)
            seconds.append(time.perf_counter() - began)
            asked = np.concatenate([asked, batch])
    return Measured(100 * area(counts, top1), seconds)


def compare(path: Path, folder: Path, rounds: int, seeds: int) -> list[dict[str, Any]]:
    """Return a row of the table for each strategy on one file."""
    cache = folder / f"{path.stem}.zarr"
    import_features(open_vectors(path, VectorOptions()), cache, ImportOptions())
    tasks = [
        Task(cache, strategy, ours, rounds, seed)
        for strategy in PAIRS
        for seed in range(seeds)
        for ours in (True, False)
    ]
    spawn = get_context("spawn")  # a forked process would inherit locks without their threads
    with ProcessPoolExecutor(available_threads(), spawn, limit_threads, (1,)) as workers:
        found = dict(zip(tasks, workers.map(measure, tasks), strict=True))
    return [_row(path.stem, strategy, found) for strategy in PAIRS]


def _row(name: str, strategy: str, found: dict[Task, Measured]) -> dict[str, Any]:
    row: dict[str, Any] = {"set": name, "strategy": strategy}
    heights = {}
    for side, ours in (("ours", True), ("theirs", False)):
        mine = [m for t, m in found.items() if (t.strategy, t.ours) == (strategy, ours)]
        heights[side] = np.array([m.height for m in mine])
        row[side] = float(heights[side].mean())
        row[f"seconds_{side}"] = float(np.median([m.seconds for m in mine]))
    row["difference"] = mean_interval((heights["ours"] - heights["theirs"]).tolist())._asdict()
    return row


@click.command()
@click.argument("features", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seeds", type=click.IntRange(2), default=5, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=6, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def main(features: tuple[Path, ...], seeds: int, rounds: int, as_json: bool) -> None:
    """Compare strategies with scikit-activeml's on each file of FEATURES."""
    if not find_spec("skactiveml"):
        raise click.ClickException(
            "scikit-activeml is not installed; pip install 'clipcache[peers]' brings it"
        )
    if not as_json:
        click.echo(
            f"{'set':12} {'strategy':10}  ours  theirs  difference (95 %)       "
            "seconds a batch, ours and theirs"
        )
    rows = []
    try:
        with TemporaryDirectory() as folder:
            for path in features:
                new = compare(path, Path(folder), rounds, seeds)
                rows += new
                if not as_json:
                    click.echo("\n".join(map(_line, new)))
    except ClipcacheError as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps({"seeds": seeds, "rounds": rounds, "rows": rows}, indent=2))


def _line(row: dict[str, Any]) -> str:
    gain = row["difference"]
    interval = f"{gain['mean']:+.1f} ({gain['low']:+.1f} to {gain['high']:+.1f})"
    return (
        f"{row['set']:12} {row['strategy']:10} {row['ours']:5.1f}   {row['theirs']:5.1f}  "
        f"{interval:22} {row['seconds_ours']:8.3f} {row['seconds_theirs']:8.3f}"
    )


if __name__ == "__main__":
    main()
