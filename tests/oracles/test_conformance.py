"""What every oracle promises. Oracles are made differently, so each has a maker here."""

from collections.abc import Callable

import numpy as np
import pytest

from clipcache import registry
from clipcache.arrays import Labels
from clipcache.oracles.base import Oracle
from clipcache.oracles.noisy import Noisy
from clipcache.oracles.replay import Replay

TRUTH: Labels = np.random.default_rng(5).integers(0, 6, 300)
TRUTH.setflags(write=False)

MAKERS: dict[str, Callable[[], Oracle]] = {
    "noisy": lambda: Noisy(Replay(TRUTH), rate=0.4, n_classes=6, seed=2),
    "replay": lambda: Replay(TRUTH),
}


@pytest.fixture(params=registry.names("oracles"))
def make(request: pytest.FixtureRequest) -> Callable[[], Oracle]:
    return MAKERS[request.param]


def test_classes_as_int64_one_a_row(make: Callable[[], Oracle]) -> None:
    labels = make().label(np.array([4, 2, 299]))
    assert labels.dtype == np.int64
    assert labels.shape == (3,)
    assert len(make().label(np.empty(0, dtype=np.int64))) == 0


def test_answers_depend_on_the_row_alone(make: Callable[[], Oracle]) -> None:
    rows = np.random.default_rng(0).permutation(300)
    rows.setflags(write=False)
    oracle = make()
    whole = oracle.label(rows)
    backwards = oracle.label(rows[::-1])[::-1]
    one_by_one = [int(make().label(rows[i : i + 1])[0]) for i in range(300)]
    np.testing.assert_array_equal(backwards, whole)
    np.testing.assert_array_equal(one_by_one, whole)


def test_answers_are_the_callers_to_change(make: Callable[[], Oracle]) -> None:
    oracle, rows = make(), np.arange(300)
    first = oracle.label(rows)
    kept = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(oracle.label(rows), kept)
