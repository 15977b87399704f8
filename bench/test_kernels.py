"""Every kernel and its twin on the same input: `pytest bench --benchmark-enable`.

Machines are noisy: read the ratio of kernel to twin within one run, not the milliseconds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tests.reference import CASES, Arguments


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest, benchmark: BenchmarkFixture) -> str:
    benchmark.group = request.param
    return str(request.param)


def run(
    benchmark: BenchmarkFixture, function: Callable[..., npt.NDArray[Any]], arguments: Arguments
) -> None:
    function(*arguments)  # compiles, where there is something to compile
    found = benchmark(function, *arguments)
    assert np.isfinite(found).all()


def test_kernel(name: str, benchmark: BenchmarkFixture) -> None:
    run(benchmark, CASES[name].kernel, CASES[name].bench())


def test_twin(name: str, benchmark: BenchmarkFixture) -> None:
    run(benchmark, CASES[name].twin, CASES[name].bench())
