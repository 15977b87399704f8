"""Plain tables on standard output, and a counter on standard error."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import click


def print_table(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Print a table whose lines are never folded; numbers stand to the right."""
    values = [list(line) for line in lines]
    cells = [list(columns), *([_shown(value) for value in line] for line in values)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [
        all(isinstance(value, int | float) for value in column)
        for column in zip(*values, strict=True)
    ]
    for line in cells:
        padded = (
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, numbers, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split())


@contextmanager
def counter(things: str) -> Iterator[Callable[[int], None]]:
    """Count on standard error, where it is a terminal."""
    shown = sys.stderr.isatty()

    def count(done: int) -> None:
        if shown:
            click.echo(f"\r{done:,} {things}", nl=False, err=True)

    try:
        yield count
    finally:
        if shown:
            click.echo("\r\033[K", nl=False, err=True)
