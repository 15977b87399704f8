import subprocess
import sys
from types import ModuleType

import pytest

from clipcache import registry
from clipcache.errors import UnknownNameError

ROOMS = ("heads", "oracles", "strategies")


@pytest.mark.parametrize("room", ROOMS)
def test_names_are_the_files_of_the_room(room: str) -> None:
    files = {p.stem for p in (registry.PACKAGE / room).glob("*.py")} - {"base", "__init__"}
    names = registry.names(room)
    assert set(names) == files
    assert list(names) == sorted(names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_name_loads_the_first_class_of_its_file(room: str) -> None:
    for name in registry.names(room):
        plugin = registry.load(room, name)
        assert plugin.__module__ == f"clipcache.{room}.{name}"
        assert plugin.__name__.lower() == name.replace("_", "")
        assert sys.modules[plugin.__module__].__all__[0] == plugin.__name__


@pytest.mark.parametrize("name", ["margn", "base", "__init__", "", "../heads/linear"])
def test_an_unknown_name_lists_the_choices(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        registry.load("strategies", name)
    assert repr(name) in str(caught.value)
    for choice in registry.names("strategies"):
        assert choice in str(caught.value)


@pytest.mark.parametrize("content", [{}, {"__all__": []}, {"__all__": ["Margn"]}])
def test_a_file_without_the_class_that_it_promises_is_named(
    content: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("clipcache.strategies.margin")
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(UnknownNameError, match=r"strategies/margin\.py .*__all__") as caught:
        registry.load("strategies", "margin")
    assert "\n" not in str(caught.value)
    assert all(repr(name) in str(caught.value) for name in content.get("__all__", []))


def test_listing_imports_nothing_and_loading_only_one_file() -> None:
    code = (
        "import sys; from clipcache import registry; registry.names('heads'); "
        "registry.names('strategies'); "
        "assert not [m for m in sys.modules if m.startswith('clipcache.') and m not in "
        "('clipcache.registry', 'clipcache.errors')]; "
        "registry.load('strategies', 'random'); "
        "assert 'clipcache.strategies.margin' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
