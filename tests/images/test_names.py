from pathlib import Path

import pytest

from clipcache.errors import SourceError
from clipcache.images.names import read_names


def written(folder: Path, data: bytes) -> Path:
    path = folder / "names.txt"
    path.write_bytes(data)
    return path


def test_one_name_a_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "# garments\n\nT-shirt\r\n  Hat \n\n# more\nRöcke\nC# book".encode())
    assert read_names(path) == ("T-shirt", "Hat", "Röcke", "C# book")


def test_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read_names(written(tmp_path, b"\xef\xbb\xbfcat\ndog\n")) == ("cat", "dog")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"cat\n# x\ndog\ncat\n", "'cat' on lines 1 and 4"),
        (b"", "no class names"),
        (b"# only\n\n  \n", "no class names"),
        (b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_faults(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(SourceError, match=said) as caught:
        read_names(written(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_no_file_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_names(tmp_path / "names.txt")
    with pytest.raises(SourceError, match="Is a directory"):
        read_names(tmp_path)
