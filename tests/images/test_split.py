from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache.errors import SourceError
from clipcache.images.base import Item, Stamp
from clipcache.images.split import RandomSplit


@dataclass(frozen=True)
class Listed:
    items: tuple[Item, ...]

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def class_names(self) -> tuple[str, ...]:
        return ("b", "a")

    def stamp(self, key: str) -> Stamp:
        return Stamp(len(key), 7)

    def read(self, key: str) -> bytes:
        return key.encode()


def labelled(n: int) -> Listed:
    return Listed(tuple(Item(f"{i}.jpg", "a") for i in range(n)))


def splits(source: RandomSplit) -> dict[str, str]:
    return {item.key: item.split for item in source}


def test_about_the_fraction_is_held_out() -> None:
    for fraction in (0.1, 0.5, 0.9):
        held_out = list(splits(RandomSplit(labelled(10_000), fraction)).values()).count("test")
        assert abs(held_out - 10_000 * fraction) < 4 * (10_000 * fraction * (1 - fraction)) ** 0.5


def test_unlabelled_images_go_to_the_pool() -> None:
    source = Listed(tuple(Item(f"{i}.jpg", None, "test") for i in range(100)))
    assert set(splits(RandomSplit(source, 0.999)).values()) == {"pool"}


def test_the_split_of_the_source_is_replaced() -> None:
    source = labelled(100)
    held_out = Listed(tuple(replace(item, split="test") for item in source))
    assert list(RandomSplit(held_out, 0.3)) == list(RandomSplit(source, 0.3))


def test_known_answers_never_change() -> None:
    """Old runs depend on these."""
    drawn = splits(RandomSplit(labelled(12), 0.5))
    assert [n for n in range(12) if drawn[f"{n}.jpg"] == "test"] == [4, 5, 10, 11]


def test_seeds_draw_differently() -> None:
    assert splits(RandomSplit(labelled(100), 0.5)) != splits(RandomSplit(labelled(100), 0.5, 1))


def test_a_larger_fraction_only_adds() -> None:
    few, many = (splits(RandomSplit(labelled(500), f)) for f in (0.2, 0.4))
    assert all(many[key] == "test" for key, split in few.items() if split == "test")


@settings(max_examples=50, deadline=None)
@given(
    keys=st.lists(st.text(max_size=20), unique=True, max_size=30),
    others=st.lists(st.text(max_size=20), unique=True, max_size=30),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(-(2**70), 2**70),
    shuffle=st.randoms(use_true_random=False),
)
def test_an_image_keeps_its_split(
    keys: list[str], others: list[str], fraction: float, seed: int, shuffle: object
) -> None:
    before = splits(RandomSplit(Listed(tuple(Item(k, "a") for k in keys)), fraction, seed))
    more = [*keys, *(key for key in others if key not in keys)]
    shuffle.shuffle(more)  # type: ignore[attr-defined]
    after = splits(RandomSplit(Listed(tuple(Item(k, "b") for k in more)), fraction, seed))
    assert before == {key: after[key] for key in keys}


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 20.0, float("nan"), float("inf")])
def test_fractions_that_are_none(fraction: float) -> None:
    with pytest.raises(SourceError, match="between 0 and 1"):
        RandomSplit(labelled(3), fraction)


def test_everything_else_is_the_sources() -> None:
    source = RandomSplit(labelled(3), 0.5)
    assert source.class_names() == ("b", "a")
    assert source.stamp("ab") == Stamp(2, 7)
    assert source.read("ab") == b"ab"
