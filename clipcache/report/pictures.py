"""What all plots have in common: how axes look, and how a figure is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clipcache.durable import write_file

WIDTH = 9.0
"""Inches of a figure as wide as the page: 96 pixels each, so that a point is a point there."""
DPI = 150
"""Pixels to the inch of a PNG."""
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


@contextmanager
def manner() -> Iterator[None]:
    """Draw and save in here: names are shown as they are, and the same figure is the same bytes."""
    with matplotlib.rc_context(
        {
            "text.parse_math": False,  # a name may have dollar signs
            "svg.fonttype": "none",
            "svg.hashsalt": "clipcache",
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.edgecolor": "#999999",
            "xtick.color": "#444444",
            "ytick.color": "#444444",
            "grid.color": "#e5e5e5",
        }
    ):
        yield


def panels(count: int, columns: int, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` axes of the same scale, `columns` in a row.

    `height` is that of a row, in inches.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH * max(columns, 2) / 3, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    every: list[Axes] = list(np.ravel(grid))
    for axes in every[count:]:
        axes.remove()
    for axes in every[max(0, count - columns) : count]:
        axes.xaxis.set_tick_params(labelbottom=True)  # also where nothing is below in a gap
    return figure, every[:count]


def single(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Return a figure with one axes, as wide as the page of a comparison; sizes in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def count_labels(axes: Axes) -> None:
    """Mark whole numbers along the bottom."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(axis="y")


def save(figure: Figure, path: Path) -> str:
    """Write `path`.png and `path`.svg, each whole or not at all, and return the SVG for a page."""
    save_png(figure, path.with_name(path.name + ".png"))
    figure.set_layout_engine("none")  # laid out by now; once is enough
    text = svg(figure)
    write_file(path.with_name(path.name + ".svg"), text.encode())
    return text


def save_png(figure: Figure, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    out = BytesIO()
    figure.savefig(out, dpi=DPI)
    write_file(path, out.getvalue())


def svg(figure: Figure) -> str:
    """Return an SVG, as a page or a file of its own can hold it."""
    out = StringIO()
    figure.savefig(out, format="svg", metadata=NO_METADATA)
    return out.getvalue()[out.getvalue().index("<svg") :]
