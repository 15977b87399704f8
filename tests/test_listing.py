"""A listing held against a cache, through random histories of a source."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache.cache import CacheWriter, EmbeddingCache
from clipcache.errors import SourceError
from clipcache.images.base import MISSING, Item, Stamp
from clipcache.listing import find_work, hash_keys, match, merge_names, write_listing
from tests.toy_cache import CHUNK_ROWS, IDENTITY


class Given:
    """A source with exactly these items."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def class_names(self) -> tuple[str, ...]:
        return tuple(sorted({item.label for item in self.items if item.label}))

    def stamp(self, key: str) -> Stamp:
        return MISSING

    def read(self, key: str) -> bytes:
        raise AssertionError("a listing never reads an image")


def items(*keys: str) -> list[Item]:
    return [Item(key) for key in keys]


labels = st.sampled_from([None, "ant", "bee", "cat"])
listings = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=3),
    st.tuples(labels, st.sampled_from(["pool", "test"])),
    min_size=1,
    max_size=2 * CHUNK_ROWS + 3,
)


@settings(max_examples=12, deadline=None)
@given(st.lists(listings, min_size=1, max_size=3))
def test_the_cache_follows_every_history(history: list[dict[str, tuple[str | None, str]]]) -> None:
    """Rows stay; each row says what the source said of it last; keys are never doubled."""
    last: dict[str, tuple[str | None, str]] = {}
    names: tuple[str, ...] = ()
    with tempfile.TemporaryDirectory() as folder:
        for listing in history:
            source = Given([Item(key, *rest) for key, rest in listing.items()])
            names = merge_names(names, source.class_names())
            order = [*last, *(key for key in listing if key not in last)]
            last |= listing
            with CacheWriter.open(Path(folder), IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
                listed = write_listing(
                    writer, source, names, match(writer.cache, hash_keys(source))
                )
                work = dict(find_work(writer, source, listed))
            cache = EmbeddingCache.open(Path(folder))
            found = cache.group["images"]
            assert found["key"][:].tolist() == order
            assert [o in listing for o in order] == listed.tolist()
            codes = [-1 if last[key][0] is None else names.index(last[key][0]) for key in order]
            assert found["label"][:].tolist() == codes
            splits = [("pool", "test").index(last[key][1]) for key in order]
            assert found["split"][:].tolist() == splits
            assert cache.finished_rows("listing").sum() == len(order)
            assert np.concatenate([*work.values()]).tolist() == list(range(len(order)))
            assert all((rows // CHUNK_ROWS == chunk).all() for chunk, rows in work.items())


def test_an_image_that_is_listed_twice_is_named() -> None:
    with pytest.raises(SourceError, match=r"b\.jpg is listed 3 times"):
        hash_keys(Given(items("a.jpg", "b.jpg", "b.jpg", "c.jpg", "b.jpg")))


def test_no_image_at_all() -> None:
    with pytest.raises(SourceError, match="no image"):
        hash_keys(Given([]))


def test_names_keep_their_places() -> None:
    assert merge_names(("hat", "coat"), ("apron", "coat", "zip")) == ("hat", "coat", "apron", "zip")
    assert merge_names((), ("b", "a")) == ("b", "a")
    assert merge_names(("b",), ()) == ("b",)


@pytest.mark.parametrize("second", ["a b", "a b c d", "a x c", "b c", ""])
@pytest.mark.parametrize("known", ["", "a b"])
def test_a_source_that_changes_between_two_looks(tmp_path: Path, known: str, second: str) -> None:
    """No wrong row is written, and the next call goes on."""
    path, whole = tmp_path / "c", Given(items("a", "b", "c"))
    if known:
        with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
            before = Given(items(*known.split()))
            write_listing(writer, before, (), match(writer.cache, hash_keys(before)))
    hashes, changed = hash_keys(whole), Given(items(*second.split()))
    with (
        CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer,
        pytest.raises(SourceError, match="other images than a moment ago; run this again"),
    ):
        write_listing(writer, changed, (), match(writer.cache, hashes))
    with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
        write_listing(writer, whole, (), match(writer.cache, hashes))
    assert EmbeddingCache.open(path).keys().tolist() == ["a", "b", "c"]
