"""One cache made by several `clipcache embed`, each with a share of the chunks."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clipcache.cache import EmbeddingCache
from clipcache.cache.layout import State
from clipcache.cache.locks import Share
from clipcache.errors import CacheError
from tests.pictures import folder, save, tree

EMBED = [sys.executable, "-m", "clipcache.cli.main", "embed", "photos"]
HOW = ["--model", "clipcache-tiny", "--batch-size", "5", "--chunk-rows", "8", "--device", "cpu"]

Embed = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def embed(tmp_path: Path) -> Embed:
    folder(tmp_path / "photos", {"coat": 20, "hat": 17})

    def begin(*options: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*EMBED, *options, *HOW],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return begin


def said(process: "subprocess.Popen[str]", code: int = 0) -> str:
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == code, printed
    return printed


def test_shares_at_the_same_time_leave_what_one_leaves(embed: Embed, tmp_path: Path) -> None:
    shares = [embed("c", "--shard", f"{place}/3") for place in range(3)]
    for share in shares:
        said(share)
    said(embed("whole"))
    assert tree(tmp_path / "c") == tree(tmp_path / "whole")


def test_shares_one_after_the_other_and_again(embed: Embed, tmp_path: Path) -> None:
    first = said(embed("c", "--shard", "1/2"))
    assert "16 images read" in first
    assert "0 unchanged" in first
    assert "21 images are left for the other shares" in first
    states = EmbeddingCache.open(tmp_path / "c").read("state")
    chunks = [set(states[start : start + 8].tolist()) for start in range(0, 37, 8)]
    assert chunks == [{State.PENDING}, {State.DONE}] * 2 + [{State.PENDING}]
    assert "21 images read" in said(embed("c", "--shard", "0/2"))
    said(embed("whole"))
    assert tree(tmp_path / "c") == tree(tmp_path / "whole")
    # A share sees changes of its own chunks, and of the listing.
    save(tmp_path / "photos" / "coat" / "009.png", 99)
    save(tmp_path / "photos" / "zebra.png", 98)
    said(embed("c", "--shard", "1/2"))
    said(embed("c", "--shard", "0/2"))
    EmbeddingCache.open(tmp_path / "c").embeddings()


@pytest.mark.parametrize("text", ["2/2", "1", "a/b", "-1/2", "0/0", "1/"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(CacheError, match=f"--shard {text} is no share: expected I/N"):
        Share.parse(text)


def test_processes_from_the_command_line(embed: Embed, tmp_path: Path) -> None:
    said(embed("c", "--engine", "processes", "--processes", "2"))
    said(embed("whole"))
    assert tree(tmp_path / "c") == tree(tmp_path / "whole")
