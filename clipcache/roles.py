"""What each row of a cache is for in a run: to be asked about, to teach, or to measure on."""

from typing import NamedTuple

import numpy as np

from clipcache.arrays import RowIds
from clipcache.dataset import Dataset
from clipcache.run_config import EVALUATION, HELD_OUT, RunConfig


class Roles(NamedTuple):
    """Distinct rows; no row has two roles."""

    pool: RowIds
    """Sorted rows that may be asked about."""
    given: RowIds
    """Sorted rows whose label in the cache teaches from the start."""
    test: RowIds
    """Sorted rows whose label in the cache is measured on."""
    held_out: RowIds
    """Rows that people label to be measured on, in the order of asking."""


def roles(data: Dataset, config: RunConfig) -> Roles:
    """Return who is who; the same for the same data and configuration.

    Rows to hold out are drawn from the test split, where that has enough without a label; otherwise
    from those that would be asked about.
    """
    known = data.labels[data.pool] >= 0
    test = evaluation_rows(data, config.seed, config.eval_size)
    nobody = data.pool[:0]
    if config.asks == "replay":
        return Roles(data.pool[known], nobody, test, nobody)
    pool = data.pool if config.asks == "all" else data.pool[~known]
    given = nobody if config.asks == "all" else data.pool[known]
    unknown = data.test[data.labels[data.test] < 0]
    source = unknown if len(unknown) >= config.held_out else pool
    rng = config.rng(HELD_OUT, 0)
    held_out = rng.choice(source, size=min(config.held_out, len(source)), replace=False)
    return Roles(np.setdiff1d(pool, held_out, assume_unique=True), given, test, held_out)


def evaluation_rows(data: Dataset, seed: int, size: int | None) -> RowIds:
    """Return the sorted test rows that runs with this seed and this `eval_size` measure on."""
    test = data.test[data.labels[data.test] >= 0]
    if size is None:
        return test
    rng = np.random.default_rng((seed, EVALUATION, 0))
    return np.sort(rng.choice(test, size=size, replace=False))
