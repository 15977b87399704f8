"""The figures of a comparison, each with its title and with what it shows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from matplotlib.figure import Figure

from clipcache.comparison.analysis import Analysis
from clipcache.comparison.pairs import EVERY_CACHE, Comparison
from clipcache.comparison.questions import against_baseline
from clipcache.comparison.results import CacheResults, Results
from clipcache.comparison.trial_curves import curves_of, evaluations
from clipcache.curves import Curve
from clipcache.report.arm_style import styles
from clipcache.report.curve_plots import band, every_run, overlay
from clipcache.report.dot_plots import dots
from clipcache.report.map_plot import pick_map
from clipcache.stats import Interval


class Picture(NamedTuple):
    """One figure of the page, drawn when it is its turn."""

    name: str
    """Of its files."""
    title: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Figures:
    """What can be drawn of a comparison."""

    results: Results
    analysis: Analysis

    def over_caches(self) -> Iterator[Picture]:
        """Yield what shows several caches together."""
        plan = self.results.plan
        if len(self.results.caches) < 2 or not self._against(EVERY_CACHE, self._main):
            return
        where = [EVERY_CACHE, *(cache.name for cache in self.results.caches)]
        yield Picture(
            "caches",
            f"Gain over {plan.baseline} on each cache",
            "Difference of the areas under the curves with 95 % intervals over seeds. The filled "
            "dot is the mean over the caches, and the number beside it.",
            lambda: self._gains({name: self._against(name, self._main) for name in where}),
        )

    def of(self, cache: CacheResults) -> Iterator[Picture]:
        """Yield the figures of one cache in the order of the page."""
        plan, looks = self.results.plan, styles(self.results.plan)
        runs = self._runs(cache, "top1")
        yield Picture(
            "figure-1-every-run",
            "Every run",
            "Thin lines are single runs, the thick one is their mean with its 95 % interval. The "
            f"dashed line is the mean of {plan.baseline}.",
            lambda: every_run(runs, looks, plan.baseline),
        )
        yield Picture(
            "figure-2a-means",
            "All arms",
            "Means over seeds with 95 % intervals.",
            lambda: overlay(
                {name: band(own) for name, own in runs.items()},
                looks,
                "top-1 on test images, %",
            ),
        )
        yield Picture(
            "figure-2b-gain",
            "Gain since the start",
            "Percent points above each run's own first measurement: what a lucky start adds to a "
            "curve is taken out.",
            lambda: overlay(
                {name: band(own, since_start=True) for name, own in runs.items()},
                looks,
                "gain in top-1 since the start, percent points",
            ),
        )
        if len(plan.arms) > 1:
            yield from self._differences(cache)
        for metric, name, title, caption, measure in OVER_LABELS:
            yield Picture(name, title, caption, partial(self._overlay, cache, metric, measure))
        if cache.map.picks:  # of arms that choose
            yield Picture(
                "map",
                "Where the picks lie",
                "Black dots are the images that the first seed of each arm asked for after its "
                "start, and their number; the pool behind them is coloured by class. Each class "
                "has a place, and an image lies between the places of the classes that it "
                "resembles.",
                lambda: pick_map(cache.map),
            )

    def _differences(self, cache: CacheResults) -> Iterator[Picture]:
        plan = self.results.plan
        yield Picture(
            "labels-saved",
            f"Labels saved against {plan.baseline}",
            "How many times fewer labels the mean curve needs to get to where that of "
            f"{plan.baseline} ended; 1 is as many, 0 means that it never got there (an interval "
            "that begins at 0: in some draws of the seeds it did not).",
            lambda: self._labels_saved(cache),
        )
        every = evaluations(self.results)
        if len(every) > 1 and self._against(cache.name, self._main):
            yield Picture(
                "evaluation-images",
                f"{_images(every[-1])} against {_images(every[0])}",
                f"The same runs, and their gain over {plan.baseline}, measured on different "
                "numbers of test images: with few of them luck makes the intervals wider. Numbers "
                f"are those of {_images(every[0])}.",
                lambda: self._gains({_images(on): self._against(cache.name, on) for on in every}),
            )

    @property
    def _main(self) -> str:
        return evaluations(self.results)[0]

    def _runs(self, cache: CacheResults, metric: str) -> dict[str, Sequence[Curve]]:
        return {
            arm.name: curves_of(cache, arm, self._main, metric) for arm in self.results.plan.arms
        }

    def _overlay(self, cache: CacheResults, metric: str, measure: str) -> Figure:
        bands = {name: band(own) for name, own in self._runs(cache, metric).items()}
        return overlay(bands, styles(self.results.plan), measure)

    def _against(self, cache: str, evaluation: str) -> list[Comparison]:
        wanted = (against_baseline(self.results.plan), cache, evaluation)
        found = self.analysis.comparisons
        return [c for c in found if (c.question, c.cache, c.evaluation) == wanted]

    def _gains(self, series: dict[str, list[Comparison]]) -> Figure:
        first = next(iter(series.values()))
        return dots(
            {name: {c.one: c.gain for c in found} for name, found in series.items()},
            styles(self.results.plan),
            f"gain over {self.results.plan.baseline}, percent points of top-1 over the curve",
            neutral=0,
            texts={c.one: f"{c.gain.mean:+.1f}" for c in first},
        )

    def _labels_saved(self, cache: CacheResults) -> Figure:
        found: dict[str, Interval] = {
            row.arm: row.labels_saved
            for row in self.analysis.summaries
            if (row.cache, row.evaluation) == (cache.name, self._main)
            and row.labels_saved is not None
            and row.arm != self.results.plan.baseline
        }
        return dots(
            {"": found},
            styles(self.results.plan),
            "times fewer labels (0: never got there)",
            neutral=1,
            texts={
                name: f"{saved.mean:.2f}x" if saved.mean else "never"
                for name, saved in found.items()
            },
        )


def _images(evaluation: str) -> str:
    return f"{evaluation} images"


OVER_LABELS = (
    (
        "tail_recall",
        "rare-classes",
        "Rare classes",
        "Mean recall of the rarest third of the classes, by their number of images in the pool.",
        "recall of rare classes, %",
    ),
    (
        "ece",
        "calibration",
        "Calibration",
        "Expected calibration error: how far confidence and accuracy are apart. Lower is better.",
        "calibration error, %",
    ),
)
"""Metric, name of the files, title, caption and unit."""
