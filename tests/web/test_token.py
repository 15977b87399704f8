from pathlib import Path

import pytest

from clipcache.errors import RunError
from clipcache.web.token import public_id, read_token


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    token = read_token(tmp_path)
    assert len(token) >= 43
    assert read_token(tmp_path) == token
    assert (tmp_path / "web-token").stat().st_mode & 0o777 == 0o600
    assert [f.name for f in tmp_path.iterdir()] == ["web-token"]


def test_each_run_has_its_own(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert read_token(tmp_path / "a") != read_token(tmp_path / "b")


def test_of_servers_that_start_at_once_the_first_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = "f" * 43

    def another_is_faster(flushed: Path) -> None:
        if flushed.suffix == ".partial":
            (tmp_path / "web-token").write_text(first)

    monkeypatch.setattr("clipcache.web.token.flush", another_is_faster)
    assert read_token(tmp_path) == first
    assert [f.name for f in tmp_path.iterdir()] == ["web-token"]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 50, b"<script>" * 9])
def test_a_damaged_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "web-token").write_bytes(content)
    with pytest.raises(RunError, match="delete it"):
        read_token(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be used"):
        read_token(tmp_path / "none")


def test_what_tells_runs_apart_gives_nothing_away(tmp_path: Path) -> None:
    token = read_token(tmp_path)
    assert public_id(token) == public_id(token)
    assert public_id(token) not in token
    assert public_id(token) != public_id(token[::-1])
