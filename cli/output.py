"""What commands print: JSON for programs, tables and bars for people."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from clipcache.benchmark.score import Timing
    from clipcache.comparison.analysis import Analysis
    from clipcache.embed import EmbedSummary
    from clipcache.embed import Progress as Report
    from clipcache.encoders.base import Identity
    from clipcache.images.roots import Place
    from clipcache.labels import Round
    from clipcache.report.demo import DemoResult
    from clipcache.stats import Interval


def print_json(value: Any) -> None:
    """Print one JSON object."""
    click.echo(json.dumps(value, indent=2, default=asdict))


def print_json_line(value: Any) -> None:
    """Print one JSON object in one line."""
    click.echo(json.dumps(asdict(value)))


def print_pairs(pairs: dict[str, Any]) -> None:
    """Print one "name: value" a line, nested ones indented."""
    for name, value in pairs.items():
        if isinstance(value, dict):
            click.echo(f"{name}:")
            for inner, inner_value in value.items():
                click.echo(f"  {inner}: {inner_value}")
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"{name}: {shown}")


def warn_of_network(host: str, advice: str = "put a proxy with TLS before it") -> None:
    """Say that a server which others can reach is to be protected, and how."""
    if host not in ("127.0.0.1", "localhost", "::1"):
        click.echo(
            f"warning: {host} can be reached from other machines, and http is not encrypted: "
            f"{advice}",
            err=True,
        )


def warn_if_random(identity: "Identity") -> None:
    """Say that untrained weights make meaningless vectors."""
    if identity.pretrained == "random":
        click.echo(
            f"warning: {identity.model} has random, untrained weights; the vectors are only good "
            "for measuring speed",
            err=True,
        )


def say_precision(identity: "Identity") -> None:
    """Say what was measured of a precision, where that was done."""
    if identity.checked:
        click.echo(identity.checked, err=True)


@contextmanager
def embed_progress(cache: "Place") -> Iterator["Report"]:
    """Show a bar with images/s, time left and failures on standard error.

    Ctrl-C ends the command with exit code 130 and a line that says how to go on.
    """
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} images"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failed]}"),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("embed", total=0, rate="", failed="")

    def report(done: int, failed: int, total: int) -> None:
        if total:  # nothing is shown before there is work, so that an early error stands alone
            bar.start()
            speed = bar.tasks[0].speed
            bar.update(
                task,
                completed=done,
                total=total,
                rate=f"{speed:,.0f}/s" if speed else "",
                failed=f"{failed} failed" if failed else "",
            )

    with _stoppable(bar, lambda: _finished(cache)):
        yield report


@contextmanager
def _stoppable(bar: Progress, kept: Callable[[], str]) -> Iterator[None]:
    """Take a bar down at the end; after Ctrl-C say what is kept, and exit with 130."""
    stopped = False
    try:
        yield
    except KeyboardInterrupt:
        stopped = True
    finally:
        if bar.live.is_started:
            bar.stop()
    if stopped:
        click.echo(f"stopped{kept()}; run the same command again to go on", err=True)
        raise click.exceptions.Exit(130)


def _finished(cache: "Place") -> str:
    """Return how much of a cache is on disk for good, in words."""
    from clipcache.cache.reader import EmbeddingCache
    from clipcache.errors import ClipcacheError

    try:
        opened = EmbeddingCache.open(cache)
        done = int(opened.finished_rows("result").sum())
    except ClipcacheError:  # there is none yet, or it was only begun
        return ""
    return f": {done:,} of {opened.n:,} images are kept" if opened.n else ""


def print_embedded(summary: "EmbedSummary", cache: "Place") -> None:
    """Print what an embedding did, and the first failures."""
    rate = summary.processed / summary.seconds if summary.processed else 0.0
    click.echo(
        f"{cache}: {summary.processed:,} images read in {summary.seconds:.1f} s ({rate:,.0f}/s), "
        f"{summary.unchanged:,} unchanged, {summary.failed:,} failed"
    )
    if summary.pending:
        click.echo(f"{summary.pending:,} images are left for the other shares")
    if summary.gone:
        click.echo(f"{summary.gone:,} images are no longer in the source; their rows are kept")
    for failure in summary.failures:
        click.echo(f"  failed: {failure}")
    if summary.failed > len(summary.failures):
        click.echo(f"  ... `clipcache info {cache}` counts all reasons")
    click.echo(
        f"the cache has {summary.pool:,} images in the pool and {summary.test:,} held out; "
        f"{summary.unlabelled:,} have no label"
    )


@contextmanager
def rounds_table(past: "list[Round]", quiet: bool) -> "Iterator[Callable[[Round], None]]":
    """Show a table that grows by a line with each round; nothing where `quiet`."""
    table = Table(box=None, pad_edge=False)  # ten columns in the 80 of a terminal
    names = ("round", "labels", "top-1 %", "top-5 %", "ECE %", "unsure %", "kappa")
    for name in (*names, "fit s", "score s", "pick s"):
        table.add_column(name, justify="right")

    def add_row(r: "Round") -> None:
        seconds = (f"{s:.3f}" for s in (r.fit_seconds, r.score_seconds, r.select_seconds))
        shares = (f"{100 * share:.1f}" for share in (r.top1, r.top5, r.ece, r.uncertainty))
        kappa = "" if r.agreement is None else f"{r.agreement:.3f}"
        table.add_row(str(r.round), str(r.labels), *shares, kappa, *seconds)

    for closed in past:
        add_row(closed)
    console = Console(quiet=quiet)
    with Live(table, console=console) if console.is_terminal else nullcontext():
        yield add_row
    if not console.is_terminal:
        console.print(table)


def print_machine() -> None:
    """Print what the figures below were measured on."""
    import platform

    from clipcache.threads import available_threads

    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        processor = next(named, processor)
    click.echo(f"{processor}, {available_threads()} processors, Python {platform.python_version()}")


PEERS = ("numpy", "torch", "scikit-learn", "modAL", "scikit-activeml", "ten passes")


@contextmanager
def timings_table(quiet: bool) -> "Iterator[Callable[[Timing], None]]":
    """Show a table that grows by a line with each case; nothing where `quiet`."""
    table = Table(box=box.MARKDOWN)
    table.add_column("10 smallest margins of")
    columns = ("ours, ms", "ns a row", "product", "reading", *PEERS, "peak MB")
    for name in columns:
        table.add_column(name, justify="right")

    def add_row(timing: "Timing") -> None:
        def times_ours(ms: float | None) -> str:
            return f"{ms / timing.ours_ms:.2f}x" if ms else ""

        table.add_row(
            timing.name,
            f"{timing.ours_ms:,.0f}",
            f"{1e6 * timing.ours_ms / timing.rows:,.0f}",
            times_ours(timing.floor_ms),
            times_ours(timing.floors.get("reading")),
            *(times_ours(timing.peers.get(name)) for name in PEERS),
            f"{timing.peak_mb:,.0f}",
        )

    console = Console(quiet=quiet)
    if console.is_terminal:
        with Live(table, console=console):
            yield add_row
    else:
        try:
            yield add_row
        finally:  # what was measured is shown, also where a later case fails
            Console(quiet=quiet, width=160).print(table)


def print_arms(result: "DemoResult") -> None:
    """Print the demo's table and its verdict."""
    from clipcache.report.demo import FULL, show

    rounds = result.arms[FULL][0]
    first, last = (f"{r.labels} labels" for r in (rounds[0], rounds[-1]))
    table = Table(title="top-1 in % with 95 % interval over seeds")
    for name in ("arm", first, last, "whole curve", "ms a round"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for line in result.lines():
        accuracies = (show(i) for i in (line.start, line.final, line.average))
        table.add_row(line.arm, *accuracies, f"{1000 * line.seconds:.0f}")
    Console().print(table)
    click.echo(f"zero-shot (no label at all): {100 * result.zero_shot:.1f} %")
    click.echo(result.verdict())


@contextmanager
def trials_progress() -> "Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]":
    """Show a bar with finished trials and time left on standard error, and lines above it.

    Ctrl-C ends the command with exit code 130 and a line that says how to go on.
    """
    columns = (
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} trials"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task("compare", total=0)

    def report(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    def say(message: str) -> None:
        bar.console.print(message, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def kept() -> str:
        done, total = bar.tasks[0].completed, bar.tasks[0].total
        return f": {done:,.0f} of {total:,.0f} trials are kept" if total else ""

    with _stoppable(bar, kept):
        yield report, say


def print_comparison(analysis: "Analysis", page: Path) -> None:
    """Print top-1 of each arm on the most images, what could be shown, and where the page is."""
    rows = [row for row in analysis.summaries if row.metric == "top1"]
    rows = [row for row in rows if row.evaluation == rows[0].evaluation]
    caches = len({row.cache for row in rows})
    title = f"top-1 in % on {rows[0].evaluation} test images, with 95 % intervals over seeds"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("cache", "arm") if caches > 1 else ("arm",):
        table.add_column(name)
    for name in ("at the end", "whole curve", "labels to\ntarget"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shares = (percent(interval) for interval in (row.final, row.area))
        found = row.labels_to_target
        labels = "never" if found is None or found == float("inf") else f"{found:.0f}"
        names = [row.cache] * (caches > 1) + [row.arm]
        table.add_row(*map(Text, names), *shares, labels)  # a name may hold brackets
    Console().print(table)
    for sentence in analysis.verdicts:
        click.echo(sentence)
    click.echo(f"report: {page}")


def percent(interval: "Interval") -> str:
    """Return "61.2 (60.1 to 62.3)" for shares in [0, 1], or the mean alone without an interval."""
    mean, low, high = (100 * share for share in interval)
    return f"{mean:.1f}" if low != low else f"{mean:.1f} ({low:.1f} to {high:.1f})"
