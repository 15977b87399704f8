"""What stands beside the images all the time, as text that a page only has to place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan, sqrt

from clipcache.ballots import Ballots
from clipcache.desk import Status
from clipcache.labels import Round
from clipcache.web.chart import Chart, chart
from clipcache.web.site import Site, percent

RAREST = 6
"""Classes with few labels that are named."""
Z95 = 1.959964
"""The 97.5th percentile of the normal distribution."""


@dataclass(frozen=True)
class Measure:
    """One number with its name."""

    name: str
    value: str
    note: str = ""
    """Its 95 % interval, or how many images it is about."""


@dataclass(frozen=True)
class Panel:
    """All of it."""

    labels: str
    round: int
    pace: str
    """Labels an hour; "" before that is known."""
    chart: Chart | None
    measurable: bool
    """Whether there is, or will be, anything to measure accuracy on."""
    accuracies: tuple[Measure, ...]
    held_out: tuple[int, int] | None
    """Images to measure on that people labelled, and all of them; None where there are none."""
    measures: tuple[Measure, ...]
    rarest: tuple[Measure, ...]
    preparing: bool
    problem: str | None
    """What keeps rounds from being prepared, or images from being shown."""
    lacking: int
    """People who have yet to join in before labels count."""
    disputes: int
    aside: int


def panel(site: Site) -> Panel:
    """Return how the run stands."""
    status = site.desk.status()
    given, wanted = status.held_out
    return Panel(
        labels=f"{status.labels:,}",
        round=status.rounds[-1].round + 1 if status.rounds else 0,
        pace=f"{status.labels_an_hour:,.0f}" if status.labels_an_hour else "",
        chart=chart(status.rounds),
        measurable=bool(wanted or len(site.desk.run.test)),
        accuracies=tuple(_accuracies(site, status.rounds)),
        held_out=(given, wanted) if wanted else None,
        measures=tuple(_measures(status)),
        rarest=tuple(Measure(c.name, f"{c.images:,}") for c in status.counts[:RAREST]),
        preparing=status.preparing,
        problem=status.problem or site.photos.problem,
        lacking=status.lacking,
        disputes=status.disputes,
        aside=status.put_aside,
    )


def _measures(status: Status) -> Iterator[Measure]:
    """Yield what is known of how people fare."""
    hits, answers = status.shortlist
    if answers:
        yield Measure("Among the five", percent(hits / answers), f"of {answers:,}")
    if status.agreement:
        kind, kappa, images = status.agreement
        yield Measure(f"{kind}'s kappa", f"{kappa:.2f}", f"on {images:,}")


def _accuracies(site: Site, rounds: Sequence[Round]) -> Iterator[Measure]:
    """Yield top-1 and top-5 of the newest head that was measured."""
    measured = [r for r in rounds if not isnan(r.top1)]
    for closed in measured[-1:]:
        images = _measured_on(site, closed.seen)
        for name, share in (("top-1", closed.top1), ("top-5", closed.top5)):
            yield Measure(name, percent(share, 1), between(share, images))


def _measured_on(site: Site, seen: int) -> int:
    """Return how many images were measured on when `seen` was the last entry of the history.

    Not those of now: people may have labelled more since, or taken answers back. Counted once.
    """
    if seen not in site.measured_on:
        run = site.desk.run
        ballots = Ballots(run.config.per_image)
        ballots.add(given for given in run.store.history() if given.id <= seen)
        told = ballots.labels().keys() & set(run.held_out.tolist())
        site.measured_on[seen] = len(run.test) + len(told)
    return site.measured_on[seen]


def between(share: float, n: int) -> str:
    """Return the 95 % interval of a share of `n` images in words, "" where n is 0.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> between(0.5, 100)
    '40 to 60 %'
    >>> between(1.0, 10)
    '72 to 100 %'
    """
    if not n:
        return ""
    scale = 1 + Z95**2 / n
    middle = (share + Z95**2 / (2 * n)) / scale
    half = Z95 * sqrt(share * (1 - share) / n + (Z95 / (2 * n)) ** 2) / scale
    return f"{100 * (middle - half):.0f} to {100 * (middle + half):.0f} %"
