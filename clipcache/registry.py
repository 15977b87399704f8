"""Plug-ins found by file name: `strategies/margin.py` is the strategy `margin`.

The folder is the registry, so adding a plug-in touches no list. Names are read from the folder and
nothing is imported, which keeps `--help` fast; `load` imports the one file that was asked for.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from clipcache.errors import UnknownNameError

PACKAGE = Path(__file__).parent
APART = ("base", "lanes", "options")
"""Files that no plug-in is in, beside those whose names begin with an underscore."""


def names(room: str) -> tuple[str, ...]:
    """Names of all plug-ins in a room ("strategies", "heads", ...), sorted.

    >>> "margin" in names("strategies")
    True
    """
    stems = (path.stem for path in (PACKAGE / room).glob("*.py"))
    return tuple(sorted(stem for stem in stems if stem not in APART and not stem.startswith("_")))


def load(room: str, name: str) -> type[Any]:
    """Return the class of one plug-in: the first name in its module's `__all__`.

    Raises UnknownNameError listing the choices, or where the file lacks its class.
    """
    if name not in names(room):
        raise UnknownNameError(f"no {room} called {name!r}; there are: {', '.join(names(room))}")
    module = import_module(f"clipcache.{room}.{name}")
    promised = getattr(module, "__all__", ())
    if not promised or not hasattr(module, promised[0]):
        found = f"names {promised[0]!r}, which is not there" if promised else "names nothing"
        raise UnknownNameError(
            f"{room}/{name}.py has no class: its __all__ {found}; put the class's name first in it"
        )
    plugin: type[Any] = getattr(module, promised[0])
    return plugin
