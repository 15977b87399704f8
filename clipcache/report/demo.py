"""What the demo found, in numbers, in words and as a page."""

import base64
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np

from clipcache.durable import write_file
from clipcache.embed import EmbedSummary
from clipcache.labels import Round
from clipcache.report.plots import learning_curves_svg
from clipcache.stats import Interval, mean_interval, verdict

FULL = "margin, full pool"
SUBSAMPLE = "margin, 300 images"
RANDOM = "random"
OVER = "points of top-1 on average over the curve"
PAGE = Template((Path(__file__).parent / "demo.html").read_text(encoding="utf-8"))


class Pick(NamedTuple):
    """One image that was chosen."""

    image: Path
    label: str
    guesses: tuple[tuple[str, float], ...]
    """The likeliest classes before the label was known, with their probabilities."""


class Line(NamedTuple):
    """One arm of the table; accuracies are top-1 in percent with 95 % intervals over seeds."""

    arm: str
    start: Interval
    final: Interval
    average: Interval
    """Over all rounds: the height of the curve."""
    seconds: float
    """Mean time to fit, score and select in one round."""


@dataclass(frozen=True)
class DemoResult:
    """Everything that the page tells."""

    embedded: EmbedSummary
    pool: int
    test: int
    classes: int
    batch: int
    zero_shot: float
    """Top-1 accuracy of the class names' vectors alone, in [0, 1]."""
    arms: dict[str, list[list[Round]]]
    """Arm -> the rounds of each seed; arms are paired by seed."""
    picks: list[Pick]

    def lines(self) -> list[Line]:
        """Return the table, one line an arm."""
        return [
            Line(
                arm=arm,
                start=mean_interval([100 * run[0].top1 for run in runs]),
                final=mean_interval([100 * run[-1].top1 for run in runs]),
                average=mean_interval(_averages(runs)),
                seconds=float(np.mean([_seconds(r) for run in runs for r in run[:-1]])),
            )
            for arm, runs in self.arms.items()
        ]

    def verdict(self) -> str:
        """Say what the paired differences over the curve allow to be said, and no more."""
        return " ".join(
            [
                verdict("Margin on the full pool", "random labels", self._gain(FULL, RANDOM), OVER),
                verdict("The full pool", "300 random images", self._gain(FULL, SUBSAMPLE), OVER),
            ]
        )

    def _gain(self, arm: str, over: str) -> Interval:
        pairs = zip(_averages(self.arms[arm]), _averages(self.arms[over]), strict=True)
        return mean_interval([a - b for a, b in pairs])


def write_page(result: DemoResult, path: Path) -> None:
    """Write one self-contained HTML file, whole or not at all."""
    rounds = result.arms[FULL][0]
    page = PAGE.substitute(
        verdict=escape(result.verdict()),
        pool=f"{result.pool:,}",
        test=f"{result.test:,}",
        classes=result.classes,
        images=f"{result.embedded.images:,}",
        zero_shot=f"{100 * result.zero_shot:.1f}",
        seeds=len(result.arms[FULL]),
        batch=result.batch,
        first=rounds[0].labels,
        last=rounds[-1].labels,
        table="\n".join(_row(line) for line in result.lines()),
        curves=learning_curves_svg(result.arms),
        picks="\n".join(_figure(pick) for pick in result.picks),
    )
    write_file(path, page.encode())


def show(interval: Interval) -> str:
    """Return "61.2 ± 1.1", or the mean alone where there is no interval."""
    half = interval.high - interval.mean
    return f"{interval.mean:.1f}" if np.isnan(half) else f"{interval.mean:.1f} ± {half:.1f}"


def _averages(runs: list[list[Round]]) -> list[float]:
    return [float(np.mean([100 * r.top1 for r in run])) for run in runs]


def _seconds(r: Round) -> float:
    return r.fit_seconds + r.score_seconds + r.select_seconds


def _row(line: Line) -> str:
    cells = (line.arm, show(line.start), show(line.final), show(line.average))
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f"<tr>{inner}<td>{line.seconds * 1000:.0f} ms</td></tr>"


def _figure(pick: Pick) -> str:
    data = base64.b64encode(pick.image.read_bytes()).decode()
    doubt = " or ".join(f"{name} {100 * p:.0f} %" for name, p in pick.guesses)
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="a drawn {escape(pick.label)}">'
        f"<figcaption>{escape(doubt)}?<br><b>{escape(pick.label)}</b></figcaption></figure>"
    )
