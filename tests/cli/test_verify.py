import json
import shutil
from pathlib import Path

from tests.cli.conftest import Cli


def test_a_whole_cache_is_0(cli: Cli, embedded: Path) -> None:
    result = cli("verify", embedded)
    assert (result.code, result.err) == (0, "")
    assert result.out == "5 of 5 chunks are finished, 0 damaged\n"


def test_damage_is_named_and_1(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    shutil.copytree(embedded, tmp_path / "cache")
    file = tmp_path / "cache" / "images" / "embedding" / "c" / "3" / "0"
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    result = cli("verify", tmp_path / "cache")
    assert result.code == 1
    assert "damaged: result of chunk 3 (rows 24 to 31)" in result.out
    found = json.loads(cli("verify", tmp_path / "cache", "--json").out)
    assert (found["chunks"], found["checked"], len(found["damage"])) == (5, 5, 1)
