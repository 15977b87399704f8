from itertools import islice

import numpy as np
import pytest

from clipcache.finetune.balance import balanced


@pytest.mark.parametrize("counts", [[1, 1], [5, 1, 3], [40, 2, 2, 9]])
def test_classes_take_turns_and_so_do_images(counts: list[int]) -> None:
    y = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    places = list(islice(balanced(y, rng=np.random.default_rng(2)), 12 * sum(counts)))
    for start in range(0, len(places) - len(counts) + 1, len(counts)):
        turn = places[start : start + len(counts)]
        assert sorted(y[turn]) == list(range(len(counts)))
    for c, count in enumerate(counts):
        own = [place for place in places if y[place] == c]
        for start in range(0, len(own) - count + 1, count):
            assert sorted(own[start : start + count]) == np.flatnonzero(y == c).tolist()


def test_a_class_without_a_label_is_never_shown() -> None:
    y = np.array([4, 4, 1])
    assert set(islice(balanced(y, rng=np.random.default_rng(0)), 50)) == {0, 1, 2}


def test_a_seed_decides_the_order() -> None:
    y = np.arange(30) % 4

    def first(seed: int) -> list[int]:
        return list(islice(balanced(y, rng=np.random.default_rng(seed)), 40))

    assert first(3) == first(3)
    assert first(3) != first(4)


def test_images_of_a_class_come_in_a_new_order_each_time() -> None:
    y = np.array([0] * 20 + [1])
    own = [p for p in islice(balanced(y, rng=np.random.default_rng(5)), 80) if p < 20]
    assert own[:20] != own[20:40]
