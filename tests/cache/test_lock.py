"""One writer at a time, seen from a real second process."""

import subprocess
import sys
from pathlib import Path

import pytest

from clipcache.cache import CacheWriter, EmbeddingCache
from clipcache.errors import CacheLockedError
from tests.pictures import tree
from tests.toy_cache import CHUNK_ROWS, IDENTITY, write

HOLD = """
import sys
from pathlib import Path
from clipcache.cache import CacheWriter
from tests.toy_cache import CHUNK_ROWS, IDENTITY
with CacheWriter.open(Path(sys.argv[1]), IDENTITY, chunk_rows=CHUNK_ROWS):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_and_a_reader_is_not(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    write(path, 13)
    before = tree(path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(CacheLockedError, match="another process is writing"),
            CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS),
        ):
            pass
        assert EmbeddingCache.open(path).embeddings().shape[0] == 13
        holder.kill()  # the lock dies with its holder
    with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
        assert writer.cache.n == 13
    assert tree(path) == before
