from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from clipcache.errors import SourceError
from clipcache.images.base import Item, Stamp
from clipcache.images.narrow import Narrow
from clipcache.images.split import RandomSplit


@dataclass(frozen=True)
class Letters:
    """One image a letter, labelled by it; "-" is unlabelled."""

    letters: str

    def __iter__(self) -> Iterator[Item]:
        for position, letter in enumerate(self.letters):
            yield Item(f"{position}.jpg", None if letter == "-" else letter)

    def class_names(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.letters) - {"-"}))

    def stamp(self, key: str) -> Stamp:
        return Stamp(len(key), 7)

    def read(self, key: str) -> bytes:
        return key.encode()


SOURCE = Letters("bab-cacdab-dd")  # a 3, b 3, c 2, d 3


def labels(source: Narrow) -> str:
    return "".join(item.label or "-" for item in source)


def fault(source: Narrow) -> str:
    with pytest.raises(SourceError) as caught:
        list(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_options_nothing_changes() -> None:
    assert list(Narrow(SOURCE)) == list(SOURCE)
    assert Narrow(SOURCE).class_names() == ("a", "b", "c", "d")


def test_excluded_classes_are_dropped() -> None:
    source = Narrow(SOURCE, exclude=frozenset("ac"))
    assert labels(source) == "bb-db-dd"
    assert [item.key for item in source][:3] == ["0.jpg", "2.jpg", "3.jpg"]
    assert source.class_names() == ("b", "d")


def test_an_excluded_label_that_never_occurs() -> None:
    said = fault(Narrow(SOURCE, exclude=frozenset(["a", "Skip"])))
    assert "'Skip'" in said
    assert "a, b, c, d" in said
    with pytest.raises(SourceError, match="Skip"):
        Narrow(SOURCE, exclude=frozenset(["Skip"])).class_names()


@pytest.mark.parametrize(("top", "kept"), [(1, "a"), (2, "ab"), (3, "abd"), (4, "abcd")])
def test_the_most_frequent_classes_stay_ties_by_name(top: int, kept: str) -> None:
    source = Narrow(SOURCE, top=top)
    assert source.class_names() == tuple(kept)
    assert labels(source) == "".join(c for c in SOURCE.letters if c in kept + "-")


def test_the_most_frequent_of_what_is_not_excluded() -> None:
    source = Narrow(SOURCE, exclude=frozenset("a"), top=2)
    assert source.class_names() == ("b", "d")


@pytest.mark.parametrize("top", [-1, 0, 5])
def test_more_classes_than_there_are(top: int) -> None:
    said = fault(Narrow(SOURCE, top=top))
    assert str(top) in said
    assert "1 to 4" in said
    assert "1 to 3" in fault(Narrow(SOURCE, exclude=frozenset("a"), top=4))


def test_given_names_in_their_order() -> None:
    source = Narrow(SOURCE, names=("d", "z", "c", "b", "a"))
    assert source.class_names() == ("d", "z", "c", "b", "a")
    assert list(source) == list(SOURCE)


def test_a_label_that_is_not_in_the_names() -> None:
    said = fault(Narrow(SOURCE, names=("b", "a")))
    assert "4.jpg is labelled 'c'" in said
    assert "--exclude-label" in said
    source = Narrow(SOURCE, exclude=frozenset("cd"), names=("b", "a"))
    assert labels(source) == "bab-aab-"


def test_names_that_contradict_themselves() -> None:
    with pytest.raises(SourceError, match="'a' twice"):
        Narrow(SOURCE, names=("a", "b", "a"))
    with pytest.raises(SourceError, match="'a' is in the list"):
        Narrow(SOURCE, exclude=frozenset("a"), names=("a", "b"))


def test_wrappers_compose() -> None:
    inner = Narrow(SOURCE, names=("d", "c", "b", "a"))
    outer = Narrow(RandomSplit(inner, 0.5), exclude=frozenset("c"), top=2)
    assert outer.class_names() == ("b", "a")
    assert Counter(labels(outer)) == {"a": 3, "b": 3, "-": 2}
    assert {item.split for item in outer} == {"pool", "test"}


def test_reading_twice_gives_the_same() -> None:
    source = Narrow(SOURCE, top=2)
    assert list(source) == list(source)


def test_files_are_the_sources() -> None:
    source = Narrow(SOURCE, top=2)
    assert source.stamp("ab") == Stamp(2, 7)
    assert source.read("ab") == b"ab"
