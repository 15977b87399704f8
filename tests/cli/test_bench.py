"""`clipcache bench score` on pools small enough for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clipcache.benchmark.score import ROUNDS, Case, default_cases, measure
from clipcache.cli.output import print_machine, timings_table

SMALL = ["--rows", "3000", "--dim", "32", "--classes", "5"]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clipcache.cli.main", "bench", "score", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clipcache.benchmark.score.SECONDS", 0.1)


def test_json_is_one_object_a_case() -> None:
    done = bench(*SMALL, "--json")
    assert done.returncode == 0, done.stderr
    memory, zarr = (json.loads(line) for line in done.stdout.splitlines())
    for timing in (memory, zarr):
        assert (timing["rows"], timing["dim"], timing["classes"]) == (3000, 32, 5)
        assert timing["ours_ms"] > 0
        assert timing["peak_mb"] >= 0
    assert memory["name"] == "3,000 x 5, in memory"
    assert memory["floor_ms"] == min(
        memory["floors"][f"{name} product"] for name in ("numpy", "torch")
    )
    assert {"numpy", "torch"} <= set(memory["peers"])
    assert all(ms > 0 for ms in memory["peers"].values())
    assert zarr["floor_ms"] is None


@pytest.mark.parametrize("what", ["heads", *ROUNDS])
def test_other_cases(what: str, tmp_path: Path, short: None) -> None:
    timing = measure(Case(what, 2000, 4, dim=16), tmp_path)
    assert timing.ours_ms > 0
    assert set(timing.peers) == ({"ten passes"} if what == "heads" else set())


def test_cases_cover_the_sizes_that_are_promised() -> None:
    cases = default_cases()
    assert {c.rows for c in cases} == {62_000, 246_841, 1_000_000, 4_000_000}
    assert {c.classes for c in cases} == {10, 40, 200, 1000}
    assert {c.what for c in cases} == {"memory", "zarr", "heads", *ROUNDS}
    assert len({c.name for c in cases}) == len(cases)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_case_that_dies_is_an_error_in_one_line() -> None:
    done = bench("--rows", "300", "--dim", "8", "--classes", "2", "--device", "cuda")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: the case 300 x 2, in memory failed: ")
    assert "--device cpu" in done.stderr


def test_the_machine_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_machine()
    assert "processors, Python 3." in capsys.readouterr().out


def test_table_shows_times_and_ratios(
    tmp_path: Path, short: None, capsys: pytest.CaptureFixture[str]
) -> None:
    timings = [measure(Case(what, 2000, 4, dim=16), tmp_path) for what in ("heads", *ROUNDS)]
    with timings_table(quiet=False) as add_row:
        for timing in timings:
            add_row(timing)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    names, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert names[:2] == ["10 smallest margins of", "ours, ms"]
    assert [row[0] for row in rows] == [timing.name for timing in timings]
    ratio = timings[0].peers["ten passes"] / timings[0].ours_ms
    assert rows[0][names.index("ten passes")] == f"{ratio:.2f}x"
