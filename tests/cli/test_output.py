"""What commands print, where it holds names or is cut short."""

from pathlib import Path

import click
import pytest

from clipcache.cli.output import print_comparison, trials_progress
from clipcache.comparison.analysis import Analysis
from clipcache.comparison.summary import Summary
from clipcache.stats import Interval


@pytest.mark.parametrize("caches", [("photos",), ("a[b]", "[bold]")])
def test_names_are_shown_as_they_are(
    caches: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    half = Interval(0.5, 0.4, 0.625)
    arms = ("[/x] random", "[full] :cat:")
    rows = tuple(
        Summary(cache, arm, "all", "top1", half, half, half, 8, 12.0, 8, 12, 0.5, 9.75)
        for cache in caches
        for arm in arms
    )
    print_comparison(Analysis((), rows, ()), Path("out/report.html"))
    told = capsys.readouterr().out
    assert all(name in told for name in (*arms, *caches * (len(caches) > 1))), told


def test_what_is_said_beside_a_bar_is_said_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with trials_progress() as (_, say):
        say("[/x] is damaged :cat:")
    assert "[/x] is damaged :cat:" in capsys.readouterr().err


def interrupted(*finished: int) -> None:
    with trials_progress() as (report, _):
        if finished:
            report(*finished)
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("finished", "words"),
    [((), "stopped; run"), ((3, 20), "stopped: 3 of 20 trials are kept; run")],
)
def test_a_stop_counts_what_is_kept_once_that_is_known(
    finished: tuple[int, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(click.exceptions.Exit):
        interrupted(*finished)
    assert f"{words} the same command again to go on" in capsys.readouterr().err
