"""Several writers of one cache, each with its share, seen from real other processes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clipcache.cache import CacheWriter
from clipcache.cache.layout import RESULT
from clipcache.cache.locks import WHOLE, Share
from clipcache.errors import CacheLockedError
from tests.toy_cache import CHUNK_ROWS, IDENTITY, make_columns, typed, write

HOLD = """
import sys
from pathlib import Path
from clipcache.cache import CacheWriter
from clipcache.cache.locks import Share
from tests.toy_cache import CHUNK_ROWS, IDENTITY
path, share, listed = Path(sys.argv[1]), Share.parse(sys.argv[2]), sys.argv[3] == "listed"
with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS, share=share) as writer:
    if listed:
        writer.listed()
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "cache", 13)
    return tmp_path / "cache"


@contextmanager
def held(path: Path, share: str, *, listed: bool = True) -> Iterator["subprocess.Popen[str]"]:
    """Have another process hold a share."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), share, "listed" if listed else "lists"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


@contextmanager
def opened(path: Path, share: Share) -> Iterator[CacheWriter]:
    with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS, share=share) as writer:
        yield writer


def test_shares_are_each_held_once_and_the_whole_by_nobody_meanwhile(path: Path) -> None:
    with held(path, "0/2"):
        with opened(path, Share(1, 2)):
            pass
        with (
            pytest.raises(CacheLockedError, match="another process is writing"),
            opened(path, Share(0, 2)),
        ):
            pass
        for other in (WHOLE, Share(1, 3)):
            with (
                pytest.raises(CacheLockedError, match="another process is doing share 0 of 2"),
                opened(path, other),
            ):
                pass
    for free in (Share(0, 2), Share(2, 3), WHOLE):
        with opened(path, free):
            pass


def test_who_comes_while_another_lists_waits_for_it(path: Path) -> None:
    with held(path, "0/2", listed=False) as lister:
        second = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), "1/2", "listed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        with second:
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(4)
            lister.kill()
            assert second.stdout is not None
            assert second.stdout.readline() == "held\n"
            second.kill()


def test_nobody_changes_the_listing_while_others_do_their_share(path: Path) -> None:
    with held(path, "0/2"), opened(path, Share(1, 2)) as writer:
        rows = writer.cache.span(1)
        values = {name: column[rows] for name, column in make_columns(0, 13, 7).items()}
        writer.commit("result", 1, typed(writer, values, RESULT))
        for change in (
            lambda: writer.grow(20),
            lambda: writer.commit("listing", 1, values),
            lambda: writer.write_text(None),  # type: ignore[arg-type]
        ):
            with pytest.raises(CacheLockedError, match="would get another listing while other"):
                change()


def test_partial_files_of_others_are_left_alone(path: Path) -> None:
    partial = path / "images" / "0.1f.partial"
    with held(path, "0/2"):
        partial.touch()
        with opened(path, Share(1, 2)):
            assert partial.exists()
    with opened(path, Share(1, 2)):
        assert not partial.exists()
