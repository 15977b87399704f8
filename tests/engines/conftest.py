"""What a real cluster does, once for all tests that look at it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.engines.questions import pool_cache, pool_columns
from tests.pictures import folder


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 photos, and the same pool in chunks of two sizes; a cluster leaves its caches there."""
    work = tmp_path_factory.mktemp("work")
    folder(work / "photos", {"coat": 70, "hat": 50})
    for size in (50, 1000):
        pool_cache(work / str(size), size, pool_columns())
    return work


@pytest.fixture(scope="session")
def found(work: Path) -> dict[str, Any]:
    """What the program `two_machines.py` finds."""
    pytest.importorskip("ray", reason="Ray is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.two_machines", str(work)],
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # Ray prints there, too.
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("{"))
    results: dict[str, Any] = json.loads(line)
    return results
