"""Where in the pool the images lie that each arm asked for."""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from clipcache.comparison.pool_map import PoolMap
from clipcache.report.pictures import panels

SHADES = ("tab20", "tab20b", "tab20c")


def pick_map(places: PoolMap) -> Figure:
    """Return one panel an arm: the pool, coloured by class, and on it what was asked for."""
    figure, every = panels(len(places.picks), 3, 3.0)
    colors = np.concatenate([matplotlib.colormaps[name](range(20)) for name in SHADES])
    shade = colors[places.labels % len(colors)]
    for axes, (name, picks) in zip(every, places.picks.items(), strict=True):
        # A picture inside the picture: thousands of dots an arm would be slow to show.
        axes.scatter(
            places.pool[:, 0], places.pool[:, 1], s=4, c=shade, alpha=0.35, lw=0, rasterized=True
        )
        axes.scatter(picks[:, 0], picks[:, 1], s=13, c="#1c1c1c", edgecolors="white", lw=0.5)
        axes.set_title(f"{name}: {len(picks)} picks")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure
