"""What a device sorts out, held against the processors. Here the device is PyTorch's own CPU, which
takes every step but the copying; with a GPU the same tests run there as well."""

from pathlib import Path

import numpy as np
import pytest
import torch

from clipcache import device as device_module
from clipcache import scoring
from clipcache.arrays import Features, Logits, Vectors
from clipcache.cache.stored import StoredEmbeddings
from clipcache.device import OnDevice
from clipcache.errors import ArrayError, DeviceError
from clipcache.heads.base import LinearWeights
from clipcache.kernels.disagreement import disagreement
from clipcache.kernels.energy import energy
from clipcache.kernels.entropy import entropy
from clipcache.kernels.least_confidence import least_confidence
from clipcache.kernels.margin import margin
from clipcache.kernels.measure import Measure
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_config import RunConfig
from clipcache.scoring import Query
from tests.synthetic import write_cache

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
    ),
]
MEASURES = [margin, entropy, least_confidence, energy, disagreement(3)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[np.float16, np.float32])
def features(request: pytest.FixtureRequest) -> Features | Vectors:
    x = np.random.default_rng(0).standard_normal((3000, 24)).astype(request.param)
    x[500:700] = x[300]  # ties
    x.setflags(write=False)
    return x


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "BLOCK_BYTES", 2**17)


def head(classes: int = 12, scale: float = 1.0) -> LinearWeights:
    weight = scale * np.random.default_rng(1).standard_normal((24, classes))
    return LinearWeights(weight.astype(np.float32), np.zeros(classes, dtype=np.float32))


ROWS = np.sort(np.random.default_rng(2).choice(3000, 2500, replace=False))


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
@pytest.mark.parametrize("k", [0, 1, 10, 900, 2500, 4000])
def test_the_best_are_those_of_the_processors(
    features: Features, device: str, measure: Measure, k: int
) -> None:
    expected = scoring.top(features, ROWS, head(), measure, k)
    found = scoring.top(OnDevice(features, device), ROWS, head(), measure, k)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e4, 1e30])
def test_also_where_float32_can_tell_nothing_apart(
    features: Features, device: str, scale: float
) -> None:
    expected = scoring.top(features, ROWS, head(scale=scale), margin, 20)
    found = scoring.top(OnDevice(features, device), ROWS, head(scale=scale), margin, 20)
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("measure", MEASURES, ids=lambda m: m.name)
def test_scores_are_those_of_the_processors(
    features: Features, device: str, measure: Measure
) -> None:
    expected = scoring.score(features, ROWS, head(), measure)
    found = scoring.score(OnDevice(features, device), ROWS, head(), measure)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("classes", [1, 2, 5, 12])
def test_shortlists_are_those_of_the_processors(
    features: Features, device: str, classes: int
) -> None:
    k = min(5, classes)
    expected = scoring.shortlist(features, ROWS, head(classes), k)
    found = scoring.shortlist(OnDevice(features, device), ROWS, head(classes), k)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)
    sure = np.abs(np.diff(expected[1], axis=1)).min(axis=1, initial=1.0) > 1e-5
    np.testing.assert_array_equal(found[0][sure], expected[0][sure])
    assert found[0].dtype == np.int64


def test_of_equal_logits_the_lower_class_comes_first(device: str) -> None:
    flat = LinearWeights(np.zeros((24, 9), np.float32), np.zeros(9, np.float32))
    x = OnDevice(np.ones((3, 24), dtype=np.float16), device)
    classes, probs = scoring.shortlist(x, np.arange(3), flat, 4)
    assert classes.tolist() == [[0, 1, 2, 3]] * 3
    np.testing.assert_allclose(probs, 1 / 9, rtol=1e-6)


def test_a_pool_that_does_not_fit_is_streamed(
    features: Features, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnDevice, "_fits", lambda self: False)
    expected = scoring.top(features, ROWS, head(), entropy, 50)
    found = scoring.top(OnDevice(features, device), ROWS, head(), entropy, 50)
    np.testing.assert_array_equal(found[0], expected[0])


def test_several_queries_with_their_own_exceptions(features: Features, device: str) -> None:
    queries = [
        Query(head(), margin, 5),
        Query(head(7), entropy, 30, without=ROWS[::2]),
        Query(head(), margin, 400, without=scoring.top(features, ROWS, head(), margin, 300)[0]),
    ]
    expected = scoring.top_each(features, ROWS, queries)
    for one, other in zip(
        scoring.top_each(OnDevice(features, device), ROWS, queries), expected, strict=True
    ):
        np.testing.assert_array_equal(one[0], other[0])


def test_any_head_that_has_logits(features: Features, device: str) -> None:
    class Echo:
        def logits(self, block: Vectors) -> Logits:
            assert block.dtype == np.float32
            return block

    found = scoring.top(OnDevice(features, device), ROWS, Echo(), margin, 10)
    expected = scoring.top(features, ROWS, Echo(), margin, 10)
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_named(device: str, bad: float) -> None:
    x = np.ones((400, 24), dtype=np.float16)
    x[[7, 350], 3] = bad
    with pytest.raises(ArrayError, match=r"2 rows .*rows 7, 350"):
        scoring.top(OnDevice(x, device), np.arange(400), head(), margin, 5)
    found, _ = scoring.top(OnDevice(x, device), np.arange(8, 300), head(), margin, 5)
    assert found.tolist() == [8, 9, 10, 11, 12]


def test_a_measure_without_a_formula_is_refused(features: Features, device: str) -> None:
    other = Measure("novel", margin.kernel, margin.rise)
    with pytest.raises(DeviceError, match=r"novel.*--device cpu"):
        scoring.top(OnDevice(features, device), ROWS, head(), other, 5)


def test_a_cache_on_disk_and_a_whole_run(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = write_cache(tmp_path / "cache.zarr")
    stored = StoredEmbeddings(cache, cache.n)
    on_device = OnDevice(stored, device)
    np.testing.assert_array_equal(on_device[np.array([3, 1])], cache.embeddings()[[3, 1]])
    config = RunConfig(rounds=3, init="random:30")
    here = replay(Run.begin(tmp_path / "here", config, cache))
    monkeypatch.setattr("clipcache.dataset.IN_MEMORY", 0)
    there = Run.begin(tmp_path / "there", config, cache, device=f"{device}:0")
    rounds = replay(there)
    assert [r.top1 for r in rounds] == [r.top1 for r in here]
    assert [b.tolist() for b in there.store.batches()] == [
        b.tolist() for b in Run.open(tmp_path / "here").store.batches()
    ]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeviceError, match=r"cuda was asked for.*--device cpu"):
        OnDevice(np.ones((2, 2), dtype=np.float16), "cuda")


def test_other_devices_and_heads_that_do_not_fit_are_errors(device: str) -> None:
    x = np.ones((5, 24), dtype=np.float16)
    with pytest.raises(DeviceError, match="no device 'abacus'"):
        OnDevice(x, "abacus")
    narrow = LinearWeights(np.ones((3, 2), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ArrayError, match="made for 3 dimensions, the rows have 24"):
        scoring.top(OnDevice(x, device), np.arange(5), narrow, margin, 1)


def test_a_product_that_the_user_allows_to_be_coarse_is_not(
    features: Features, device: str
) -> None:
    expected = scoring.top(features, ROWS, head(), margin, 50)[0]
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = scoring.top(OnDevice(features, device), ROWS, head(), margin, 50)[0]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(allowed)
    np.testing.assert_array_equal(found, expected)
