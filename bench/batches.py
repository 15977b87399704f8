"""How long a strategy takes to choose a batch from a large pool, and in how much memory.

    python bench/batches.py [STRATEGY ...] [--rows 246841] [--json]

100 images of a made-up pool in memory (512 numbers an image, in float16), 40 classes, with a linear
head that 300 labels taught. Each strategy works in a process of its own, so that its peak of memory
is its own. It is asked three times, as in the rounds of a run: what it keeps between rounds, such
as the whitening of the pool or an index of it, is paid for by the first. CPU seconds are those of
all threads together, and tell more than the clock where the machine has other work.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

import click
import numpy as np

from clipcache import registry
from clipcache.benchmark import pools
from clipcache.benchmark.memory import forget_peak, peak_mb
from clipcache.benchmark.score import DIM, REPORT_ROWS
from clipcache.cli.output import print_machine
from clipcache.heads.linear import Linear
from clipcache.pool import Pool
from clipcache.strategies.base import Strategy
from clipcache.whitening import PoolSample

STRATEGIES = ("badge", "k_center", "diverse_margin", "typiclust", "seals")
CLASSES, LABELS, BATCH = 40, 300, 100
TURNS = 3
WARM_UP = 4000
"""Rows of a pool that nobody measures: kernels are compiled with it."""


@dataclass(frozen=True)
class Cost:
    """What the batches of one strategy took."""

    strategy: str
    first_s: float
    best_s: float
    first_cpu_s: float
    best_cpu_s: float
    peak_mb: float
    """Above what is there before: the libraries and the pool."""


def measure(name: str, rows: int) -> Cost:
    """Measure one strategy in this process."""
    strategy: Strategy = registry.load("strategies", name)()
    strategy.select(made_up(WARM_UP), BATCH, rng=np.random.default_rng(0))
    pool = made_up(rows)
    before = forget_peak()
    clock, processor = [], []
    for turn in range(TURNS):
        began, busy = time.perf_counter(), time.process_time()
        strategy.select(pool, BATCH, rng=np.random.default_rng(turn))
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - busy)
    peak = peak_mb() - before
    return Cost(name, clock[0], min(clock), processor[0], min(processor), peak)


def made_up(rows: int) -> Pool:
    """Return a pool of which `LABELS` rows are labelled."""
    features, labels = pools.in_memory(rows, DIM, CLASSES)
    rng = np.random.default_rng(3)
    known = np.sort(rng.choice(rows, LABELS, replace=False))
    x, y = features[known].astype(np.float32), labels[known]
    head = Linear().fit(x, y, n_classes=CLASSES, text=None, rng=rng)
    sample = PoolSample.draw(features, np.arange(rows), CLASSES, rng=rng)
    return Pool(features, head, np.setdiff1d(np.arange(rows), known), known, y, sample)


def in_own_process(name: str, rows: int) -> Cost:
    """Measure one strategy in a new process."""
    command = [sys.executable, __file__, name, "--rows", str(rows), "--here"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


@click.command()
@click.argument("strategies", nargs=-1, type=click.Choice(registry.names("strategies")))
@click.option("--rows", type=click.IntRange(WARM_UP), default=REPORT_ROWS, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a strategy instead.")
@click.option("--here", is_flag=True, hidden=True, help="Measure in this process.")
def main(strategies: tuple[str, ...], rows: int, as_json: bool, here: bool) -> None:
    """Measure some STRATEGIES, or those that do more than sort scores."""
    if here:
        click.echo(json.dumps(asdict(measure(strategies[0], rows))))
        return
    if not as_json:
        print_machine()
        click.echo(
            f"\n| {BATCH} of {rows:,} | first, s | best, s | first, CPU s | best, CPU s | MB |"
        )
        click.echo("|---|---:|---:|---:|---:|---:|")
    for name in strategies or STRATEGIES:
        cost = in_own_process(name, rows)
        if as_json:
            click.echo(json.dumps(asdict(cost)))
        else:
            figures = (cost.first_s, cost.best_s, cost.first_cpu_s, cost.best_cpu_s)
            seconds = " | ".join(f"{value:.2f}" for value in figures)
            click.echo(f"| {name} | {seconds} | {cost.peak_mb:,.0f} |")


if __name__ == "__main__":
    main()
