"""What follows from the votes of several people."""

from collections import Counter

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from clipcache.ballots import DISPUTED, OPEN, Ballots
from clipcache.labels import DECISION, EXCLUDED, SKIPPED, WITHDRAWN, Given


def entry(annotator: str, label: int, *, row: int = 0, source: str = "page") -> Given:
    return Given(0, row, label, annotator, source, 0, "2026-01-01T00:00:00.000+00:00", None)


def counted(per_image: int, *entries: Given) -> Ballots:
    ballots = Ballots(per_image)
    ballots.add(e._replace(id=i) for i, e in enumerate(entries, 1))
    return ballots


@pytest.mark.parametrize(
    ("per_image", "said", "standing"),
    [
        (1, [], OPEN),
        (1, [("ann", 3)], 3),
        (1, [("ann", 3), ("ann", 4)], 4),
        (1, [("ann", 3), ("bob", 4)], 4),
        (1, [("ann", 3), ("bob", 4), ("ann", 3)], 3),
        (1, [("ann", SKIPPED)], SKIPPED),
        (1, [("ann", 3), ("bob", SKIPPED)], 3),
        (1, [("ann", EXCLUDED)], EXCLUDED),
        (1, [("ann", 3), ("ann", WITHDRAWN)], OPEN),
        (1, [("ann", 3), ("bob", 4), ("bob", WITHDRAWN)], 3),
        (2, [("ann", 3)], OPEN),
        (2, [("ann", 3), ("ann", 3)], OPEN),
        (2, [("ann", 3), ("bob", 3)], 3),
        (2, [("ann", 3), ("bob", 4)], DISPUTED),
        (2, [("ann", 3), ("bob", SKIPPED)], 3),
        (2, [("ann", SKIPPED), ("bob", SKIPPED)], SKIPPED),
        (2, [("ann", EXCLUDED), ("bob", 1)], DISPUTED),
        (3, [("ann", 3), ("bob", 4), ("cid", 4)], 4),
        (3, [("ann", 3), ("bob", 4), ("cid", 5)], DISPUTED),
        (3, [("ann", 3), ("bob", 4), ("cid", SKIPPED)], DISPUTED),
    ],
)
def test_what_an_image_stands_at(
    per_image: int, said: list[tuple[str, int]], standing: int
) -> None:
    ballots = counted(per_image, *(entry(*pair) for pair in said))
    assert ballots.standing(0) == standing
    assert ballots.labels() == ({0: standing} if standing >= 0 else {})
    assert (0 in ballots.rows()) == (bool(said) and said[-1] != ("ann", WITHDRAWN))


def test_a_decision_settles_whatever_others_say_later() -> None:
    ballots = counted(2, entry("ann", 3), entry("bob", 4), entry("eve", 5, source=DECISION))
    assert ballots.standing(0) == 5
    assert ballots.differing() == []
    ballots.add([entry("ann", 4)._replace(id=4)])
    assert ballots.standing(0) == 5
    ballots.add([entry("eve", WITHDRAWN, source=DECISION)._replace(id=5)])
    assert ballots.standing(0) == 4


def test_rows_on_which_people_differ_are_listed_though_most_agree() -> None:
    said = [("ann", 3), ("bob", 3), ("cid", 4)]
    same = [("ann", 3), ("bob", 3), ("cid", SKIPPED)]
    ballots = counted(
        3, *(entry(*pair, row=9) for pair in said), *(entry(*pair, row=2) for pair in same)
    )
    assert ballots.differing() == [9]
    assert ballots.labels() == {9: 3, 2: 3}
    assert counted(1, *(entry(*pair) for pair in said)).differing() == []


said = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["ann", "bob", "cid"]),
        st.sampled_from([0, 1, 2, SKIPPED, EXCLUDED, WITHDRAWN]),
    ),
    max_size=30,
)


@examples(said, st.integers(1, 3), st.integers(0, 30))
def test_counting_in_two_goes_is_counting_at_once_and_as_a_slow_loop_says(
    said: list[tuple[int, str, int]], per_image: int, cut: int
) -> None:
    entries = [
        entry(annotator, label, row=row)._replace(id=i)
        for i, (row, annotator, label) in enumerate(said, 1)
    ]
    ballots = Ballots(per_image)
    ballots.add(entries[:cut])
    ballots.add(entries[cut:])
    assert ballots.seen == len(entries)
    for row in range(4):
        assert ballots.standing(row) == slow_standing(said, row, per_image)


def slow_standing(said: list[tuple[int, str, int]], row: int, per_image: int) -> int:
    """Return what a row stands at, from the definition."""
    mine = [(annotator, label) for r, annotator, label in said if r == row]
    last = {a: max(i for i, (b, _) in enumerate(mine) if b == a) for a, _ in mine}
    kept = [mine[i][1] for i in sorted(last.values()) if mine[i][1] != WITHDRAWN]
    if len(kept) < per_image:
        return OPEN
    opinions = [label for label in kept if label != SKIPPED]
    if not opinions:
        return SKIPPED
    if per_image == 1:
        return opinions[-1]
    winners = [c for c, n in Counter(opinions).items() if n > len(opinions) / 2]
    return winners[0] if winners else DISPUTED
