"""One cache made by several `clipcache embed`, each with a share of the chunks."""

import subprocess
import sys
from pathlib import Path

import pytest

from clipcache.cache import EmbeddingCache
from clipcache.cache.layout import State
from clipcache.cache.locks import Share
from clipcache.errors import CacheError
from tests.cli.conftest import Cli
from tests.pictures import folder, save, tree

EMBED = [sys.executable, "-m", "clipcache.cli.main", "embed"]
HOW = ["--model", "clipcache-tiny", "--batch-size", "5", "--chunk-rows", "8", "--device", "cpu"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos that nobody changes."""
    return folder(tmp_path_factory.mktemp("photos") / "photos", {"coat": 20, "hat": 17})


@pytest.fixture(scope="module")
def whole(photos: Path) -> Path:
    """The cache that one command makes of them."""
    said(begin(photos, photos.parent / "whole"))
    return photos.parent / "whole"


def begin(photos: Path, cache: Path, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*EMBED, str(photos), str(cache), *options, *HOW],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> str:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    return printed


def test_shares_at_the_same_time_leave_what_one_leaves(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    shares = [begin(photos, tmp_path / "c", "--shard", f"{place}/3") for place in range(3)]
    for share in shares:
        said(share)
    assert tree(tmp_path / "c") == tree(whole)


def test_shares_one_after_the_other_and_again(cli: Cli, tmp_path: Path) -> None:
    photos = folder(tmp_path / "photos", {"coat": 20, "hat": 17})

    def embed(cache: str, *options: str) -> str:
        result = cli("embed", photos, tmp_path / cache, *options, *HOW)
        assert result.code == 0, result.err
        return result.out

    first = embed("c", "--shard", "1/2")
    assert "16 images read" in first
    assert "0 unchanged" in first
    assert "21 images are left for the other shares" in first
    states = EmbeddingCache.open(tmp_path / "c").read("state")
    chunks = [set(states[start : start + 8].tolist()) for start in range(0, 37, 8)]
    assert chunks == [{State.PENDING}, {State.DONE}] * 2 + [{State.PENDING}]
    assert "21 images read" in embed("c", "--shard", "0/2")
    embed("whole")
    assert tree(tmp_path / "c") == tree(tmp_path / "whole")
    # A share sees changes of its own chunks, and of the listing.
    save(photos / "coat" / "009.png", 99)
    save(photos / "zebra.png", 98)
    embed("c", "--shard", "1/2")
    embed("c", "--shard", "0/2")
    EmbeddingCache.open(tmp_path / "c").embeddings()


@pytest.mark.parametrize("text", ["2/2", "1", "a/b", "-1/2", "0/0", "1/"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(CacheError, match=f"--shard {text} is no share: expected I/N"):
        Share.parse(text)


def test_processes_from_the_command_line(photos: Path, whole: Path, tmp_path: Path) -> None:
    said(begin(photos, tmp_path / "c", "--engine", "processes", "--processes", "2"))
    assert tree(tmp_path / "c") == tree(whole)
