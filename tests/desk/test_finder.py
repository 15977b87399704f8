"""Images are found by words and by example, with the built-in encoder on drawn garments."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clipcache.demo import draw_class
from clipcache.desk.finder import Finder
from clipcache.embed import EmbedOptions, embed
from clipcache.errors import EncoderError, RunError
from clipcache.images.folder import Folder
from clipcache.people import open_run
from clipcache.run import Run
from clipcache.tiny.garments import CLASSES
from tests.real_encoder import tiny
from tests.unlabelled import write_unlabelled

FEW = ("sun hat", "boots", "blazer", "jeans", "polo shirt")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache of eight drawn images of some classes, whose labels nobody knows."""
    root = tmp_path_factory.mktemp("drawn")
    for name in FEW:
        draw_class(root / "photos" / "all" / name, CLASSES.index(name), 8, seed=7)
    embed(Folder(root / "photos"), tiny(), root / "cache.zarr", EmbedOptions(batch_size=16))
    return root / "cache.zarr"


@pytest.fixture
def run(tmp_path: Path, drawn: Path) -> Iterator[Run]:
    run = open_run(tmp_path / "run", drawn, FEW, asks="all", held_out=4)
    yield run
    run.store.close()


@pytest.mark.parametrize("name", FEW)
def test_words_find_what_they_name(run: Run, name: str) -> None:
    found = Finder(run).by_words(name, 4)
    assert sum(name in card.key for card in found) >= 3
    assert {card.row for card in found} <= set(run.pool.tolist())


def test_an_example_finds_its_like_and_not_itself(run: Run) -> None:
    finder = Finder(run)
    (first, *_) = finder.by_words("boots", 1)
    found = finder.like(first.row, 3)
    assert first.row not in {card.row for card in found}
    assert sum("boots" in card.key for card in found) >= 2


def test_what_is_labelled_or_held_out_is_not_found(run: Run) -> None:
    finder = Finder(run)
    (first, second, *_) = finder.by_words("boots", 40)
    run.record([first.row], [FEW.index("boots")], annotator="ann", source="find")
    found = {card.row for card in finder.by_words("boots", 40)}
    assert first.row not in found
    assert second.row in found
    assert found.isdisjoint(run.held_out.tolist())
    assert len(found) == 40 - 4 - 1


def test_rows_of_no_use_as_an_example_are_refused(run: Run) -> None:
    for row in (int(run.held_out[0]), 9999, -1):
        with pytest.raises(RunError, match=f"row {row} is none of the images"):
            Finder(run).like(row, 3)


def test_vectors_made_elsewhere_know_no_words(tmp_path: Path) -> None:
    run = open_run(tmp_path / "run", write_unlabelled(tmp_path / "c.zarr").path)
    with pytest.raises(EncoderError, match="made elsewhere"):
        Finder(run).by_words("boots", 3)
    assert len(Finder(run).like(int(run.pool[0]), 3)) == 3
    run.store.close()
