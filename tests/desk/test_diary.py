"""The pace is that of the people who answer here, by the answers that hold."""

from datetime import UTC, datetime, timedelta

import pytest

from clipcache.desk.diary import Diary
from clipcache.labels import LABEL_STUDIO, SKIPPED, WITHDRAWN, Given


def diary_of(*entries: tuple[int, int, str]) -> Diary:
    """Return a diary that has heard (row, label, source), a second each, the last one just now."""
    diary, now = Diary(), datetime.now(UTC)
    for number, (row, label, source) in enumerate(entries, start=1):
        then = (now - timedelta(seconds=len(entries) - number)).isoformat()
        diary.hear(Given(number, row, label, "ann", source, 0, then, None))
    return diary


def pace(diary: Diary) -> float | None:
    """Return how many answers of the last hour count, at a second each."""
    rate = diary.rate(3600, 3600)
    return None if rate is None else 3600 * rate


def test_all_answers_of_a_window_count() -> None:
    diary = diary_of((1, 0, "page"), (2, SKIPPED, "page"), (3, 1, "grid"))
    assert pace(diary) == pytest.approx(3)
    assert diary.rate(1.5) == pytest.approx(2, rel=0.2)
    assert diary.rate(0.5) is None


def test_what_a_pull_brings_does_not_count() -> None:
    pulled = [(row, 0, LABEL_STUDIO) for row in range(10, 40)]
    assert pace(diary_of(*pulled)) is None
    assert pace(diary_of((1, 0, "page"), *pulled, (2, 0, "page"))) == pytest.approx(2)


def test_what_was_undone_does_not_count_and_what_was_changed_counts_once() -> None:
    said = [(row, 0, "page") for row in range(3)]
    assert pace(diary_of(*said, (2, WITHDRAWN, "page"))) == pytest.approx(2)
    assert pace(diary_of(*said, (2, WITHDRAWN, "page"), (1, WITHDRAWN, "page"))) is None
    assert pace(diary_of(*said, (2, 1, "page"))) == pytest.approx(3)
