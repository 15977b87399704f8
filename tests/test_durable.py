"""What is written is the old file or the new one, whatever goes wrong."""

import os
from pathlib import Path

import pytest

from clipcache.durable import flush, whole_file, write_file


def test_the_file_holds_the_bytes(tmp_path: Path) -> None:
    for data in (b"", b"one", bytes(100_000)):
        write_file(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    write_file(tmp_path / "file", b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(*((os, "fsync") if broken == "fsync" else (Path, "replace")), fail)
    with pytest.raises(OSError, match="disk full"):
        write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"


def test_bytes_are_flushed_before_the_move_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        events.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        events.append(f"move to {target.name}")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_file(tmp_path / "file", b"x")
    moved = events.index("move to file")
    assert "flush file.partial" in events[:moved]
    assert f"flush {tmp_path.name}" in events[moved:]


def test_flush_needs_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "nothing")


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with whole_file(path) as partial:
        partial.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_nothing_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")

    def interrupted() -> None:
        with whole_file(path) as partial:
            partial.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
