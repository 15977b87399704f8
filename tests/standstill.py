"""`python -m tests.standstill MODULE CLASS METHOD NUMBER ...`: `clipcache ...`, to be killed.

Before the call of that number of a method it says "there", and waits.
"""

import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from clipcache.cli.main import main


def stand_still(module: str, owner: str, method: str, number: int) -> None:
    """Have a method wait for the end of stdin."""
    kind = getattr(import_module(module), owner)
    real, calls = getattr(kind, method), count(1)

    def wait(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            print("there", flush=True)  # noqa: T201
            sys.stdin.read()
        return real(*arguments, **named)

    setattr(kind, method, wait)


def killed_before(what: type, method: str, number: int, command: Sequence[str]) -> int:
    """Run a command, kill it before that call of a method, and return its exit status."""
    where = [what.__module__, what.__name__, method, str(number)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.standstill", *where, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        assert process.stdout is not None
        assert "there\n" in process.stdout, "it was over before it could be killed"
        process.kill()
        return process.wait()


if __name__ == "__main__":
    stand_still(*sys.argv[1:4], int(sys.argv[4]))
    del sys.argv[1:5]
    main()
