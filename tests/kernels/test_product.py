"""The product of rows and weights against a float64 matrix product."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcache.arrays import Features, Logits, RowIds, Vectors
from clipcache.kernels.jit import interpreted
from clipcache.kernels.product import PANEL, pack_weights, product, roundings
from tests.reference import PRODUCTS, Arguments, product_twin

COMPILED = pytest.mark.skipif(interpreted(), reason="BLAS stands in for what is promised here")
DIMS = (1, 5, 8, 16, 37, 127, 128, 129, 512)
CLASSES = (1, 7, 8, 9, 40, 101)


def allowed(
    features: Features | Vectors, rows: RowIds, weight: Vectors, bias: Vectors
) -> npt.NDArray[np.float64]:
    """Return how far each logit may lie from the exact one."""
    x, w = features[rows].astype(np.float64), weight.astype(np.float64)
    d = len(weight)
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(w, axis=0)
    finite = np.abs(np.where(np.isfinite(bias), bias, 0).astype(np.float64))
    return 1.01 * roundings(d) * 2.0**-24 * (lengths + finite) + d * 2.0**-148


def check(features: Features | Vectors, rows: RowIds, weight: Vectors, bias: Vectors) -> Logits:
    """Compare with the twin and return the logits."""
    logits, squares = product(features, rows, pack_weights(weight, bias))
    assert (logits.dtype, squares.dtype) == (np.float32, np.float32)
    assert logits.shape == (len(rows), len(bias))
    assert logits.flags.f_contiguous
    exact = product_twin(features, rows, weight, bias)
    assert (np.abs(logits - exact) <= allowed(features, rows, weight, bias)).all()
    x = features[rows].astype(np.float64)
    # Squares of float32 numbers may be too small for one, and are counted as 0 then.
    np.testing.assert_allclose(squares, (x * x).sum(axis=1), rtol=x.shape[1] * 2.0**-23, atol=1e-37)
    return logits


@pytest.mark.parametrize("make", PRODUCTS.values(), ids=PRODUCTS)
def test_agrees_with_its_twin(make: Callable[[], Arguments]) -> None:
    check(*make())


@st.composite
def places(draw: st.DrawFn, n: int) -> RowIds:
    """Draw any rows in any order, some of them more than once, for no, one or several panels."""
    rows = draw(st.integers(0, 3 * PANEL + 1))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    return rng.integers(0, n, size=rows)


@st.composite
def products(draw: st.DrawFn) -> Arguments:
    """Draw rows, places and weights whose sizes differ wildly, also within a row."""
    d, c = draw(st.sampled_from(DIMS)), draw(st.sampled_from(CLASSES))
    kind = draw(st.sampled_from([np.float16, np.float32]))
    n = draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    spread = draw(st.sampled_from([0.0, 1.0, 4.0]))
    x = rng.standard_normal((n, d)) * 10 ** (rng.standard_normal((n, d)) * spread)
    x *= 10.0 ** draw(st.sampled_from([-44, -30, -5, -1, 0, 4] if kind == np.float32 else [-5, 0]))
    weight = rng.standard_normal((d, c)) * 10 ** (rng.standard_normal((d, c)) * spread)
    weight *= 10.0 ** draw(st.sampled_from([-40, -8, 0, 8]))
    bias = rng.standard_normal(c) * 10.0 ** draw(st.sampled_from([-30, 0, 5]))
    if draw(st.booleans()):  # each row the opposite of the one before it: sums that cancel
        weight[1::2] = -weight[::2][: len(weight[1::2])]
    most = 6e4 if kind == np.float16 else 1e9
    features = np.clip(x, -most, most).astype(kind)
    features.setflags(write=False)
    weight, bias = np.clip(weight, -1e18, 1e18), np.where(rng.random(c) < 0.1, -np.inf, bias)
    bias[0] = 1.0  # one class has to be possible
    return features, draw(places(n)), weight.astype(np.float32), bias.astype(np.float32)


@given(products())
@settings(max_examples=150)
def test_hostile_values_stay_within_the_bound(arguments: Arguments) -> None:
    with np.errstate(all="ignore"):  # infinity minus infinity, where a class is ruled out
        features, rows, weight, bias = arguments
        out = np.isneginf(bias)
        logits, _ = product(features, rows, pack_weights(weight, bias))
        assert np.isneginf(logits[:, out]).all()
        check(features, rows, weight[:, ~out], bias[~out])


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("d", [100, 128, 512])
def test_roundings_that_all_go_the_same_way_reach_the_bound(d: int, kind: npt.DTypeLike) -> None:
    x = np.full((1, d), 2.0**-12, dtype=kind)
    x[0, 0] = 1  # to which 2^-24 is added again and again, and lost each time
    rows, weight, bias = np.zeros(60, np.int64), x.T.astype(np.float32), np.float32([0])
    logits = check(x, rows, weight, bias)
    if not interpreted() and d <= 128:
        off = product_twin(x, rows, weight, bias) - logits
        assert (off > 0.9 * allowed(x, rows, weight, bias)).all()


@COMPILED
@given(products(), st.data())
@settings(max_examples=60)
def test_a_row_has_the_same_bits_in_any_company(arguments: Arguments, data: st.DataObject) -> None:
    features, rows, weight, bias = arguments
    packed = pack_weights(weight, bias)
    logits, squares = product(features, rows, packed)
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(len(rows))
    part = order[: data.draw(st.integers(0, len(rows)))]
    fewer, their = product(features, rows[part], packed)
    np.testing.assert_array_equal(fewer, logits[part])
    np.testing.assert_array_equal(their, squares[part])
    # Nor does it matter what lies beside it in memory, or which other classes there are.
    alone, _ = product(features[rows[:1]], np.arange(len(rows[:1])), packed)
    np.testing.assert_array_equal(alone, logits[:1])
    one, _ = product(features, rows, pack_weights(weight[:, -1:], bias[-1:]))
    np.testing.assert_array_equal(one, logits[:, -1:])


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize("d", [3, 16, 130])
def test_rows_that_are_not_finite_show_and_spoil_no_other(kind: npt.DTypeLike, d: int) -> None:
    rng = np.random.default_rng(d)
    features = rng.standard_normal((60, d)).astype(kind)
    weight, bias = rng.standard_normal((d, 5)).astype(np.float32), np.zeros(5, dtype=np.float32)
    packed = pack_weights(weight, bias)
    before, _ = product(features, np.arange(60), packed)
    bad = {0: np.nan, 17: np.inf, 18: -np.inf, 59: np.nan}
    for row, value in bad.items():
        features[row, (row * 7) % d] = value
    with np.errstate(invalid="ignore"):
        logits, squares = product(features, np.arange(60), packed)
    assert set(np.flatnonzero(~np.isfinite(squares)).tolist()) == set(bad)
    assert not np.isfinite(logits[list(bad)]).any()
    sound = np.delete(np.arange(60), list(bad))
    np.testing.assert_allclose(logits[sound], before[sound], rtol=1e-6, atol=1e-6)


def test_a_map_of_a_file_is_read_where_it_lies(tmp_path: Path) -> None:
    features, rows, weight, bias = PRODUCTS["forty classes"]()
    features.tofile(tmp_path / "rows")
    stored = np.memmap(tmp_path / "rows", np.dtype("<f2"), "r", shape=features.shape)
    packed = pack_weights(weight, bias)
    found, expected = product(stored, rows, packed)[0], product(features, rows, packed)[0]
    np.testing.assert_array_equal(found, expected)


OTHER = """
import llvmlite.binding as llvm
import numba
import numpy as np

numba.njit(lambda: None)  # the compiler asks as well, once, and wants the truth
llvm.get_host_cpu_features = lambda: {features}
from clipcache.kernels import product as module
assert module.TILE == module.Tile({tile}), module.TILE

rng = np.random.default_rng(0)
for d, c, n in [(1, 1, 1), (37, 9, 50), (130, 5, 24), (16, 8, 100)]:
    x = rng.standard_normal((n, d)).astype("{kind}")
    weight = rng.standard_normal((d, c)).astype(np.float32)
    bias = rng.standard_normal(c).astype(np.float32)
    rows = rng.integers(0, n, size=n + 3)
    logits, squares = module.product(x, rows, module.pack_weights(weight, bias))
    wide = x[rows].astype(float)
    np.testing.assert_allclose(logits, wide @ weight + bias, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(squares, (wide * wide).sum(axis=1), rtol=1e-5)
"""


@COMPILED
@pytest.mark.parametrize(
    ("features", "tile", "kind"),
    [
        ("{'avx': True, 'f16c': True}", "8, 3, 4", "float16"),
        ("{'avx': True}", "8, 3, 4", "float16"),
        ("{'neon': True}", "4, 3, 8", "float16"),
        ("{}", "4, 2, 4", "float16"),
    ],
    ids=["avx with halves", "avx", "neon", "neither"],
)
def test_processors_with_other_registers_get_the_same_logits(
    tmp_path: Path, features: str, tile: str, kind: str
) -> None:
    code = OTHER.format(features=features, tile=tile, kind=kind)
    # A cache of its own: the other one has code for this processor's tile. Compiled in a hurry.
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment
    )
    assert not done.returncode, done.stderr
