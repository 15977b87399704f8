"""Running the command line within the test process: the same `main`, with its own arguments."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from clipcache.cli.main import main
from tests.pictures import folder


class Result(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`cli("info", path)` returns exit code, stdout and stderr."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["clipcache", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return Result(int(caught.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """21 images: 9 coats, 8 hats, 4 of no class."""
    return folder(tmp_path / "photos", {"coat": 9, "hat": 8, "": 4})


TINY = ("--model", "clipcache-tiny", "--device", "cpu", "--chunk-rows", 8, "--batch-size", 5)


@pytest.fixture
def tiny_options() -> tuple[object, ...]:
    return TINY


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cache of drawn images with a test split; nobody writes to it."""
    from clipcache.embed import EmbedOptions, embed
    from clipcache.images.source import SourceOptions, open_source
    from tests.real_encoder import tiny

    base = tmp_path_factory.mktemp("embedded")
    root = folder(base / "photos", {"coat": 16, "hat": 14, "": 4})
    source = open_source(root, SourceOptions(split="random:0.3"))
    embed(source, tiny(), base / "cache", EmbedOptions(chunk_rows=8))
    return base / "cache"
