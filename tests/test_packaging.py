"""What `pip install .` takes along; an editable install would not notice a room that is missing."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_room_is_packaged() -> None:
    rooms = {".".join(p.relative_to(ROOT).parent.parts) for p in ROOT.glob("clipcache/**/*.py")}
    assert set(SETUPTOOLS["packages"]) == rooms | {"clipcache.cli"}


def test_every_file_beside_the_code_is_packaged() -> None:
    beside = {
        path.relative_to(ROOT)
        for path in ROOT.glob("clipcache/**/*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".nbi", ".nbc")
    }
    taken = {
        path.relative_to(ROOT)
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert taken == beside
