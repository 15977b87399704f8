"""Imports point downwards, and each heavy library has one door."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import clipcache
from clipcache import registry

PACKAGE = Path(clipcache.__file__).parent
CLI = PACKAGE.parent / "cli"

FLOORS = (
    ("errors",),
    ("arrays", "clouds", "durable", "image_url", "registry", "threads", "tiny"),
    ("objects",),
    (
        "contenders",
        "curves",
        "features",
        "images",
        "kernels",
        "logistic",
        "metrics",
        "neighbors",
        "processes",
        "stats",
    ),
    ("encoders", "photos", "projection", "vectors"),
    ("committee", "device", "encoder_of", "folds", "nearby", "typicality"),
    ("scoring", "text", "whitening"),
    ("discriminant", "pool", "starts"),
    ("cache", "heads", "labels", "oracles", "run_config", "strategies"),
    ("agreement", "ballots", "dataset", "listing", "stopping"),
    ("engines", "roles", "search"),
    ("embed",),
    ("import_features", "learner", "run_folder"),
    ("run",),
    ("benchmark", "classifier", "desk", "people"),
    ("loop", "predict", "review"),
    ("experiment", "finetune"),
    ("comparison",),
    ("report",),
    ("demo",),
    ("web",),
    ("label_studio",),
    ("export",),
    ("api",),
    ("cli",),
)
"""From the ground up. A file or folder may import from lower floors and from its own folder, so
that neighbours on a floor (strategies, heads, oracles, cache) do not know each other."""

FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

DOORS = {
    "httpx": {"images", "label_studio"},
    "faiss": {"neighbors"},
    "zarr": {"cache"},
    "sqlite3": {"labels"},
    "llvmlite": {"kernels"},
    "numba": {"kernels"},
    "torch": {"benchmark", "device", "encoders", "export", "finetune", "tiny"},
    "onnxruntime": {"export"},
    "ray": {"engines"},
    "open_clip": {"benchmark", "encoders", "tiny"},
    "matplotlib": {"report"},
    "obstore": {"clouds", "objects"},
    "pyarrow": {"images", "predict", "vectors"},
    "rich": {"cli"},
    "anyio": {"web"},
    "jinja2": {"web"},
    "starlette": {"label_studio", "web"},
    "uvicorn": {"label_studio", "web"},
}
"""Library -> the only rooms that may import it."""

PLUGIN_ROOMS = ("encoders", "heads", "oracles", "strategies")


class Import(NamedTuple):
    """One imported module, as a dotted name, and whether that happens when the file is loaded."""

    name: str
    at_load: bool


def module_name(path: Path) -> str:
    """Return clipcache.strategies.margin for its file; `cli/` is the package clipcache.cli."""
    base = "clipcache.cli" if path.is_relative_to(CLI) else "clipcache"
    inside = path.relative_to(CLI if path.is_relative_to(CLI) else PACKAGE).with_suffix("")
    return ".".join([base, *(part for part in inside.parts if part != "__init__")])


FILES = {
    module_name(path): path
    for path in [*PACKAGE.rglob("*.py"), *CLI.rglob("*.py")]
    if "__pycache__" not in path.parts
}


def imports(module: str) -> Iterator[Import]:
    """Yield everything that a module imports, wherever in the file."""
    tree = ast.parse(FILES[module].read_text())
    later = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef | ast.If)
        for node in ast.walk(block)
    }
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        at_load = id(node) not in later
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, at_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in FILES else base, at_load)


def room(module: str) -> str:
    """Return the file or folder of clipcache that a module belongs to; "" for the package."""
    return (module + ".").split(".")[1]


EVERY = pytest.mark.parametrize("module", sorted(FILES))


def test_the_reader_of_imports_sees_them_all() -> None:
    assert Import("zarr", True) in imports("clipcache.cache.reader")
    assert Import("clipcache.scoring", True) in imports("clipcache.pool")
    assert Import("clipcache.run", False) in imports("clipcache.cli.loop")
    assert Import("clipcache.cli.options", True) in imports("clipcache.cli.loop")
    assert len(FILES) > 60


def test_every_room_has_a_floor() -> None:
    rooms = {room(module) for module in FILES} - {""}
    assert rooms == set(FLOOR_OF), "give each new room its floor, and take old ones out"


@EVERY
def test_imports_point_downwards(module: str) -> None:
    here = room(module)
    for name, _ in imports(module):
        there = room(name) if name.startswith("clipcache.") else ""
        if there and there != here:
            assert here, f"clipcache/__init__.py imports {name}, so that everything loads it"
            assert FLOOR_OF[there] < FLOOR_OF[here], f"{module} must not import {name}"


@EVERY
def test_each_heavy_library_has_one_door(module: str) -> None:
    for name, _ in imports(module):
        rooms = DOORS.get(name.split(".")[0])
        assert rooms is None or room(module) in rooms, f"{module} must not import {name}"


@EVERY
def test_plugins_know_only_their_base(module: str) -> None:
    here = room(module)
    if here not in PLUGIN_ROOMS:
        return
    for name, _ in imports(module):
        if room(name) == here and name.startswith("clipcache."):
            last = name.rpartition(".")[2]
            shared = last in registry.APART or last.startswith("_")
            assert shared, f"{module} must not import {name}"


@EVERY
def test_commands_load_nothing_heavy_before_they_run(module: str) -> None:
    if room(module) != "cli":
        return
    light = {"clipcache", "clipcache.errors", "clipcache.registry", "click"}
    if module == "clipcache.cli.output":
        light |= {"rich"}  # itself imported only inside commands
    for name, at_load in imports(module):
        top = name.split(".")[0]
        if not at_load or top in sys.stdlib_module_names or name in light or top == "rich":
            assert top != "rich" or "rich" in light, f"{module} loads {name}"
            continue
        assert name.startswith("clipcache.cli.") or name == "clipcache.cli", f"{module}: {name}"
        assert not at_load or name != "clipcache.cli.output", f"{module} loads {name}"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["loop", "--help"], ["embed", "--help"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import json, sys\n"
        "from clipcache.cli.main import clipcache\n"
        f"arguments = {arguments!r}\n"
        "if arguments:\n"
        "    try:\n"
        "        clipcache(arguments)\n"
        "    except SystemExit as end:\n"
        "        assert not end.code\n"
        "print('\\n' + json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    heavy = {"torch", "open_clip", "zarr", "numba", "numpy", "scipy", "matplotlib", "PIL", "faiss"}
    assert not heavy & set(loaded)
    if "loop" in arguments:
        for name in (*registry.names("strategies"), *registry.names("heads")):
            assert name in done.stdout
