"""A writer that is cut off at any of its writes, and one that finishes what it left.

Each step that changes a cache is stopped after its first, second, third, ... write or deletion;
repeated, it must leave byte for byte what it leaves undisturbed.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from clipcache.cache import CacheWriter, EmbeddingCache
from clipcache.cache import storage as storage_module
from clipcache.cache.layout import LISTING, PARTS, RESULT
from clipcache.cache.store import DurableStore
from clipcache.durable import write_file
from tests.pictures import tree
from tests.toy_cache import CHUNK_ROWS, IDENTITY, MORE_TEXT, TEXT, make_columns, typed, write


class KilledError(BaseException):
    """What stands for a kill: nothing catches it."""


@contextmanager
def killed_after(writes: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let so many changes of files happen, then raise at the next; yields what was changed."""
    changed: list[str] = []

    def count(name: str) -> None:
        if len(changed) >= writes:
            raise KilledError
        changed.append(name)

    real_set, real_delete, real_dir = (
        DurableStore.set,
        DurableStore.delete,
        DurableStore.delete_dir,
    )

    async def set_(self: DurableStore, key: str, value: object) -> None:
        count(f"set {key}")
        await real_set(self, key, value)  # type: ignore[arg-type]

    async def delete(self: DurableStore, key: str) -> None:
        count(f"delete {key}")
        await real_delete(self, key)

    async def delete_dir(self: DurableStore, prefix: str) -> None:
        count(f"delete_dir {prefix}")
        await real_dir(self, prefix)

    def write(path: Path, data: bytes) -> None:
        count(f"write {path.name}")
        write_file(path, data)

    real_unlink = Path.unlink

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.exists() and self.suffix == ".npz":
            count(f"unlink {self.name}")
        real_unlink(self, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(DurableStore, "set", set_)
        patch.setattr(DurableStore, "delete", delete)
        patch.setattr(DurableStore, "delete_dir", delete_dir)
        patch.setattr(storage_module, "write_file", write)
        patch.setattr(Path, "unlink", unlink)
        yield changed


def commit(writer: CacheWriter, n: int, part: str, chunk: int, seed: int = 0) -> None:
    rows = writer.cache.span(chunk)
    values = {name: column[rows] for name, column in make_columns(0, n, seed).items()}
    writer.commit(part, chunk, typed(writer, values, PARTS[part]))  # type: ignore[index,arg-type]


def list_rows(writer: CacheWriter, n: int) -> None:
    """As the embedding does: room for all, then the listing chunk by chunk."""
    begin = writer.cache.n
    if n > begin:
        writer.grow(n)
        for chunk in range(begin // CHUNK_ROWS, writer.cache.chunks):
            commit(writer, n, "listing", chunk)


def fill(writer: CacheWriter, n: int) -> None:
    """As the embedding does: the chunks that are not finished, in order."""
    finished = writer.cache.finished_rows("result")
    for chunk in range(writer.cache.chunks):
        span = writer.cache.span(chunk)
        if finished[chunk] < span.stop - span.start:
            commit(writer, n, "result", chunk)


def list_and_fill(writer: CacheWriter) -> None:
    list_rows(writer, 13)
    fill(writer, 13)


def append(writer: CacheWriter) -> None:
    """From 13 rows to 22: a partly filled chunk is listed and embedded anew, one is added."""
    list_rows(writer, 22)
    fill(writer, 22)


def write_text(writer: CacheWriter) -> None:
    writer.write_text(TEXT)


def other_text(writer: CacheWriter) -> None:
    writer.write_text(MORE_TEXT)


def relabel(writer: CacheWriter) -> None:
    values = typed(writer, make_columns(0, CHUNK_ROWS), LISTING)
    values["label"][:] = 1
    writer.commit("listing", 0, values)


def encode_again(writer: CacheWriter) -> None:
    values = typed(writer, make_columns(0, CHUNK_ROWS, seed=5), RESULT)
    writer.commit("result", 0, values)


STEPS: dict[str, tuple[int | None, Callable[[CacheWriter], None]]] = {
    "create": (None, write_text),
    "first": (0, list_and_fill),
    "append": (13, append),
    "relabel": (13, relabel),
    "encode again": (13, encode_again),
    "other text": (13, other_text),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_write_changes_nothing_in_the_end(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, change = STEPS[step]
    start, path = tmp_path / "start", tmp_path / "cache"
    if rows is not None:
        write(start, rows)

    def fresh() -> None:
        shutil.rmtree(path, ignore_errors=True)
        if rows is not None:
            shutil.copytree(start, path)

    def run() -> None:
        with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
            change(writer)

    fresh()
    with killed_after(10**6, monkeypatch) as writes:
        run()
    undisturbed = tree(path)
    assert len(writes) >= 2
    for number in range(len(writes)):
        fresh()
        with killed_after(number, monkeypatch) as done, pytest.raises(KilledError):
            run()
        assert done == writes[:number]
        run()
        assert tree(path) == undisturbed, f"killed before {writes[number]}"
    assert list(EmbeddingCache.open(path).damage()) == []


def test_a_second_kill_while_recovering_from_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, path = tmp_path / "start", tmp_path / "cache"
    write(start, 13)

    def run() -> None:
        with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
            encode_again(writer)

    shutil.copytree(start, path)
    with killed_after(10**6, monkeypatch) as writes:
        run()
    undisturbed = tree(path)
    for first in range(1, len(writes)):
        for second in range(0, first, 2):
            shutil.rmtree(path)
            shutil.copytree(start, path)
            for number in (first, second):
                with killed_after(number, monkeypatch), pytest.raises(KilledError):
                    run()
            run()
            assert tree(path) == undisturbed


def test_between_kill_and_repair_a_reader_gets_old_rows_new_rows_or_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipcache.errors import CacheError

    start, path = tmp_path / "start", tmp_path / "cache"
    old = write(start, 13)["embedding"]
    new = old.copy()
    new[:CHUNK_ROWS] = make_columns(0, CHUNK_ROWS, seed=5)["embedding"]
    seen = set()
    for number in range(8):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(start, path)
        with (
            killed_after(number, monkeypatch),
            pytest.raises(KilledError),
            CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer,
        ):
            encode_again(writer)
        try:
            found = EmbeddingCache.open(path).embeddings()
        except CacheError:
            seen.add("error")
        else:
            assert np.array_equal(found, old) or np.array_equal(found, new)
            seen.add("old" if np.array_equal(found, old) else "new")
    assert seen == {"old", "new", "error"}


def test_partial_files_of_a_kill_are_swept(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    write(path, 13)
    before = tree(path)
    for name in ("zarr.1f.partial", "images/key/c/0.2e.partial", ".redo.npz.partial"):
        (path / name).write_bytes(b"half")
    with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS):
        pass
    assert tree(path) == before


def test_a_kill_within_the_very_first_write(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    path.mkdir()
    (path / ".lock").touch()
    (path / "zarr.0123456789abcdef.partial").write_bytes(b"{")
    with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS):
        pass
    write(tmp_path / "other", 0)
    assert "zarr.json" in tree(path)
    assert not any(name.endswith(".partial") for name in tree(path))


def test_chunks_are_on_disk_before_their_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is flushed under its final name, and its folder after it, before the next write."""
    path = tmp_path / "cache"
    events: list[tuple[str, str]] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def name(target: str | Path) -> str:
        return os.path.relpath(target, path)

    def fsync(handle: int) -> None:
        events.append(("flush", name(os.readlink(f"/proc/self/fd/{handle}"))))
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        events.append(("put", name(target)))
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    with CacheWriter.open(path, IDENTITY, chunk_rows=CHUNK_ROWS) as writer:
        writer.grow(13)
        events.clear()
        for part in PARTS:
            for chunk in range(2):
                commit(writer, 13, part, chunk)
    for part, names in PARTS.items():
        for chunk in ("0", "1"):
            seal = f"manifest/{part}/c/{chunk}/0"
            sealed = events.index(("put", seal))
            for column in names:
                depth = "/0" if column in ("embedding", "digest", "stamp") else ""
                file = f"images/{column}/c/{chunk}{depth}"
                put = events.index(("put", file))
                flushed = events.index(("flush", file))
                folder = events.index(("flush", os.path.dirname(file)), flushed)
                assert put < flushed < folder < sealed, file
                root = f"images/{column}"  # the folder c/ is new in it
                assert events.index(("flush", root)) < sealed
            assert ("flush", seal) in events[sealed:]


def test_the_redo_log_is_on_disk_before_a_sealed_chunk_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "cache", 13)
    with (
        killed_after(10**6, monkeypatch) as writes,
        CacheWriter.open(tmp_path / "cache", IDENTITY, chunk_rows=CHUNK_ROWS) as writer,
    ):
        encode_again(writer)
    assert writes[0] == "write .redo-result-0.npz"
    assert writes[-2:] == ["set manifest/result/c/0/0", "unlink .redo-result-0.npz"]
