"""A run on drawn images with labels, and encoders of its own for whoever changes their weights."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from clipcache.cache.reader import EmbeddingCache
from clipcache.encoders.openclip import OpenClip
from clipcache.encoders.options import EncoderOptions
from clipcache.run import Run
from tests.labelled_run import drawn_cache, labelled_run


class Labelled(NamedTuple):
    run: Run
    photos: Path


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingCache:
    """34 drawn images of two kinds, the photos beside the cache; nobody writes to it."""
    return drawn_cache(tmp_path_factory.mktemp("finetune"))


@pytest.fixture
def labelled(tmp_path: Path, drawn: EmbeddingCache) -> Iterator[Labelled]:
    """A run whose people have labelled 14 images; two of them are of neither kind."""
    options = {"init": "random:14", "batch": 2, "head": "linear"}
    with labelled_run(tmp_path / "run", drawn, rounds=1, **options) as run:
        yield Labelled(run, drawn.path.parent / "photos")


@pytest.fixture
def fresh() -> Callable[[], OpenClip]:
    """Loads the built-in encoder anew."""
    return lambda: OpenClip.load(EncoderOptions("clipcache-tiny", device="cpu"))
