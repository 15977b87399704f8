"""What `clipcache bench embed` prints."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from clipcache.benchmark.embed import EmbedReport


def print_speeds(report: "EmbedReport") -> None:
    """Print tables of all that was measured, and who could not be."""
    click.echo(f"encoder: {report.encoder}, on {report.device}")
    same = "" if report.distinct == report.images else f", of {report.distinct:,} files in turn"
    click.echo(
        f"images: {report.images:,}{same}, in batches of {report.batch_size} and chunks of "
        f"{report.chunk_rows:,}; {report.workers} decode\n"
    )
    _print_table(
        ("", "images", "s", "images/s", "peak MB"),
        [
            (s.name, f"{s.images:,}", f"{s.seconds:,.2f}", f"{s.rate:,.0f}", _mb(s.peak_mb))
            for s in report.speeds
        ],
    )
    _print_table(("ratio", ""), [(name, f"{x:.2f}x") for name, x in report.ratios.items()])
    if report.decoding:
        d = report.decoding
        _print_table(
            (f"{d.images:,} images on one processor", "images/s", "ratio"),
            [
                ("the transform of the model's library", f"{d.usual_rate:,.0f}", ""),
                ("--fast-decode", f"{d.fast_rate:,.0f}", f"{d.fast_rate / d.usual_rate:.1f}x"),
            ],
        )
        click.echo(
            f"cosine between the two: {d.cosine_mean:.5f} on average, {d.cosine_1_percent:.5f} for "
            f"1 of 100, {d.cosine_least:.5f} at least\n"
        )
    if report.memory:
        _print_table(
            ("peak of memory", "model and batches, MB", "all, MB", "above, MB"),
            [
                (m.name, f"{m.alone_mb:,.0f}", f"{m.peak_mb:,.0f}", f"{m.above_mb:,.0f}")
                for m in report.memory
            ],
        )
    verdict = "the same bytes as" if report.identical else "OTHER BYTES than"
    click.echo(f"--engine processes wrote {verdict} one process")
    click.echo(f"the second run encoded {report.encoded_again:,} images")
    for name, reason in report.absent.items():
        click.echo(f"{name}: {reason}")


def _mb(peak: float) -> str:
    return f"{peak:,.0f}" if peak else ""


def _print_table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a Markdown table; all columns but the first hold numbers."""
    lines = [columns, *rows]
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in others)]
    for line in (columns, rule, *rows):
        cells = [line[0].ljust(first)]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], others, strict=True)]
        click.echo(f"| {' | '.join(cells)} |")
    click.echo()
