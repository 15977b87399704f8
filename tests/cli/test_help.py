"""Help comes at once: without torch, zarr or numpy, and with words for every command."""

import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

from clipcache.cli.main import COMMANDS, clipcache
from tests.cli.conftest import Cli

HEAVY = ("torch", "zarr", "numpy", "open_clip", "numba", "faiss", "matplotlib", "PIL")

LOADED = f"""
import sys
from click.testing import CliRunner
from clipcache.cli.main import COMMANDS, clipcache
for arguments in (["--help"], *([name, "--help"] for name in COMMANDS)):
    result = CliRunner().invoke(clipcache, arguments)
    assert result.exit_code == 0, result.output
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_no_help_loads_a_heavy_library() -> None:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False
    )
    print(f"all helps: {time.perf_counter() - began:.2f} s")  # noqa: T201
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clipcache.cli.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_says_what_it_does(name: str) -> None:
    result = CliRunner().invoke(clipcache, [name, "--help"])
    assert result.exit_code == 0
    command = clipcache.get_command(click.Context(clipcache), name)  # type: ignore[attr-defined]
    assert command.help
    groups = ("bench", "label-studio")  # whose commands have it
    assert "--json" in result.output or name in (*groups, "demo")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["embed"],
        ["embed", "a", "b", "--batch-size", "0"],
        ["embed", "a", "b", "--device", "tpu"],
        ["embed", "a", "b", "--colour"],
        ["loop", "a"],
        ["loop", "a", "b", "--strategy", "magic"],
        ["loop", "a", "b", "--head", "none"],
        ["loop", "a", "b", "--full-pool", "--subsample", "5"],
        ["loop", "a", "b", "--label-noise", "2"],
        ["loop", "a", "b", "--seed", "-1"],
        ["info"],
        ["verify", "a", "b"],
    ],
    ids=" ".join,
)
def test_bad_usage_is_2_and_says_how(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.code == 2
    assert result.err.startswith("Usage: ")
    assert "Error: " in result.err
    assert not result.out


def test_version() -> None:
    from clipcache import __version__

    assert __version__ in CliRunner().invoke(clipcache, ["--version"]).output
