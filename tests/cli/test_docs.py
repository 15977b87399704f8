"""What the command line can do is in README.md, and every option has words."""

import re
from pathlib import Path
from typing import Any

import click
import pytest

from clipcache import registry
from clipcache.cli.main import COMMANDS, clipcache
from clipcache.demo import CLASSES, draw_class

README = Path(__file__).parents[2] / "README.md"


def leaves(name: str, command: click.Command | None) -> dict[str, click.Command]:
    """Return the commands of a group, or the command itself, by their full names."""
    assert command is not None
    if not isinstance(command, click.Group):
        return {name: command}
    return {f"{name} {inner}": found for inner, found in command.commands.items()}


LEAVES = {
    full: found
    for name in COMMANDS
    for full, found in leaves(name, clipcache.get_command(click.Context(clipcache), name)).items()
}


@pytest.mark.parametrize("name", LEAVES)
def test_readme_names_the_command(name: str) -> None:
    assert f"clipcache {name}" in README.read_text()


PLUGINS = [
    (room, name) for room in ("strategies", "heads", "oracles") for name in registry.names(room)
]


@pytest.mark.parametrize(("room", "name"), PLUGINS)
def test_readme_names_the_plugin(room: str, name: str) -> None:
    assert re.search(rf"\b{name}\b", README.read_text()), f"{room}/{name}.py is not in README.md"


OPTIONS = [
    (name, option)
    for name, command in LEAVES.items()
    for option in command.params
    if isinstance(option, click.Option)
]


@pytest.mark.parametrize(
    ("name", "option"), OPTIONS, ids=lambda value: getattr(value, "name", value)
)
def test_every_option_has_words(name: str, option: click.Option) -> None:
    assert option.help, f"clipcache {name} --help says nothing about {option.opts[0]}"


def test_the_python_in_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    for index, name in enumerate(CLASSES[:6]):
        draw_class(tmp_path / "photos" / name, index, 12, seed=4)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    assert [closed.labels for closed in names["rounds"]] == [6, 11, 16]
    assert names["done"].images == 72
    run = names["run"]
    assert sorted(run.ballots.labels()) == sorted(names["rows"].tolist())
    assert len(run.propose()) == 10
    run.store.close()


def test_ci_calls_the_test_command_of_readme() -> None:
    commands = [line for line in README.read_text().splitlines() if "-m pytest" in line]
    assert len(commands) == 1
    assert commands[0].startswith("python3 -m venv .venv && ")
    assert "grep -m 1 -e '-m pytest' README.md" in (README.parent / ".ci/run").read_text()
