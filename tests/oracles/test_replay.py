import numpy as np
import pytest

from clipcache.errors import RunError
from clipcache.oracles.replay import Replay


def test_tells_the_labels_of_the_cache() -> None:
    oracle = Replay(np.array([3, -1, 0, 2]))
    assert oracle.label(np.array([3, 0])).tolist() == [2, 3]


def test_row_without_label_is_named() -> None:
    with pytest.raises(RunError, match="row 1 has no label"):
        Replay(np.array([3, -1, 0])).label(np.array([0, 1]))
