import numpy as np
import pytest

from clipcache.arrays import Labels
from clipcache.oracles.noisy import Noisy
from clipcache.oracles.replay import Replay

ROWS = np.arange(4000)
TRUTH: Labels = np.random.default_rng(8).integers(0, 5, len(ROWS))


def noisy(rate: float, seed: int = 0, n_classes: int = 5) -> Labels:
    return Noisy(Replay(TRUTH), rate, n_classes, seed).label(ROWS)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.9])
def test_so_many_are_wrong(rate: float) -> None:
    wrong = (noisy(rate) != TRUTH).mean()
    # Were an "error" allowed to repeat the truth, a fifth of the errors would be missing.
    assert abs(wrong - rate) < 4 * np.sqrt(rate * (1 - rate) / len(ROWS))


def test_rate_zero_is_the_truth_and_rate_one_never_is() -> None:
    np.testing.assert_array_equal(noisy(0.0), TRUTH)
    always = noisy(1.0)
    assert (always != TRUTH).all()
    assert set(always.tolist()) == set(range(5))


def test_wrong_classes_are_uniform() -> None:
    shift = (noisy(1.0) - TRUTH) % 5
    counts = np.bincount(shift, minlength=5)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_seeds_err_elsewhere() -> None:
    a, b = noisy(0.3, seed=0) != TRUTH, noisy(0.3, seed=1) != TRUTH
    assert abs((a & b).mean() - 0.09) < 0.03


def test_a_higher_rate_errs_on_the_same_rows_and_more() -> None:
    low, high = noisy(0.1) != TRUTH, noisy(0.3) != TRUTH
    assert (high | ~low).all()


def test_a_single_class_leaves_nothing_to_confuse() -> None:
    ones = np.zeros(10, dtype=np.int64)
    oracle = Noisy(Replay(ones), rate=1.0, n_classes=1, seed=0)
    assert oracle.label(np.arange(10)).tolist() == [0] * 10
