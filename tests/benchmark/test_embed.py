"""The embedding benchmark: everybody does the same job, and figures are what their names say."""

from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from clipcache.benchmark import embed as bench
from clipcache.benchmark import plain_loop as plain
from clipcache.benchmark.decoding import compare_decoding
from clipcache.benchmark.embed_parts import (
    Job,
    Lap,
    decoding,
    encoding,
    end_to_end,
    memory,
    writing,
)
from clipcache.benchmark.own_process import OwnProcess
from clipcache.benchmark.photo_folder import find, lay_out
from clipcache.benchmark.plain_loop import embed_plainly, load_model, plain_loop
from clipcache.cache.reader import EmbeddingCache
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import ClipcacheError, EncoderError
from tests.pictures import folder, tree

COUNT, BATCH, CHUNK = 21, 4, 8


@pytest.fixture
def job(tmp_path: Path) -> Job:
    files = find(folder(tmp_path / "mine", {"": 15}), 15)
    images = lay_out(tmp_path / "images", files, COUNT)
    return Job(EncoderOptions("clipcache-tiny", device="cpu"), images, BATCH, 1, CHUNK)


def test_end_to_end_makes_a_cache_once(job: Job, tmp_path: Path) -> None:
    lap = end_to_end(job, tmp_path / "cache")
    assert (lap.images, lap.encoded, lap.first) == (COUNT, COUNT, BATCH)
    assert 0 < lap.begun < lap.seconds
    assert lap.peak_mb > 50
    assert lap.steady_rate == pytest.approx((COUNT - BATCH) / (lap.seconds - lap.begun))
    cache = EmbeddingCache.open(tmp_path / "cache")
    assert cache.n == COUNT
    assert cache.finished_rows("result").all()
    before = tree(tmp_path / "cache")
    lap = end_to_end(job, tmp_path / "cache")
    assert (lap.images, lap.encoded) == (COUNT, 0)
    assert tree(tmp_path / "cache") == before


def test_writing_alone_writes_what_the_pass_writes(job: Job, tmp_path: Path) -> None:
    end_to_end(job, tmp_path / "cache")
    assert writing(job, tmp_path / "cache", tmp_path / "again").images == COUNT
    assert tree(tmp_path / "again") == tree(tmp_path / "cache")


def test_parts_do_as_much_as_is_asked(job: Job) -> None:
    assert encoding(job, 3).images == 3 * BATCH
    assert decoding(job, 2).images == COUNT
    assert decoding(job, 1, 5).images == 5


def test_the_plain_loop_makes_the_vectors_of_the_cache(job: Job, tmp_path: Path) -> None:
    end_to_end(job, tmp_path / "cache")
    ours = EmbeddingCache.open(tmp_path / "cache").read("embedding").astype(np.float32)
    with OwnProcess() as run:  # its own ones are forked, which is not for a process with threads
        theirs = run(embed_plainly, job, 4)
        assert run(plain_loop, job, 64).images == COUNT
    assert theirs.dtype == np.float32
    np.testing.assert_allclose(theirs, ours, atol=1e-3)  # stored as float16


def children_when_the_clock_starts(job: Job) -> list[int]:
    seen: list[int] = []
    with patch.object(plain, "forget_peak", lambda: seen.append(len(active_children()))):
        plain.plain_loop(job, 4)
    return seen


def test_the_plain_loop_has_its_processes_when_the_clock_starts(job: Job) -> None:
    with OwnProcess() as run:
        assert run(children_when_the_clock_starts, job) == [job.workers]


def test_the_plain_loop_is_in_float32_whatever_we_are_in(job: Job) -> None:
    lower = replace(job.encoder, precision="bfloat16", fast_decode=True, checked="said before")
    assert {p.dtype.itemsize for p in load_model(lower).net.parameters()} == {4}
    with pytest.raises(EncoderError, match="no model of open_clip"):
        load_model(EncoderOptions("timm:resnet18", "random"))


def test_both_ways_of_decoding_see_the_same_images(job: Job) -> None:
    found = compare_decoding(job, 9)
    assert found.images == 9
    assert 0.9 < found.cosine_least <= found.cosine_1_percent <= found.cosine_mean < 1.00001
    assert min(found.usual_rate, found.fast_rate) > 0


def test_memory_is_the_peak_before_and_after(job: Job, tmp_path: Path) -> None:
    found = memory(job, tmp_path / "cache")
    assert found.name == f"clipcache-tiny, {COUNT} small images"
    assert 50 < found.alone_mb <= found.peak_mb
    assert found.above_mb == found.peak_mb - found.alone_mb
    assert EmbeddingCache.open(tmp_path / "cache").n == COUNT


def test_caches_are_the_same_only_to_the_byte(job: Job, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, other):
        end_to_end(job, path)
    assert bench.same_files(one, other)
    file = next(f for f in sorted(other.rglob("*")) if f.is_file() and f.stat().st_size > 100)
    data = bytearray(file.read_bytes())
    data[50] ^= 1
    file.write_bytes(data)
    assert not bench.same_files(one, other)
    file.unlink()
    assert not bench.same_files(one, other)
    assert not bench.same_files(other, one)


def laps(*seconds: float, images: int = 100, begun: float = 0.0, first: int = 0) -> list[Lap]:
    return [Lap(images, s, 1.0, images, begun, first) for s in seconds]


def test_ratios_are_taken_within_turns() -> None:
    found = {
        bench.END_TO_END: laps(10, 20, 40, begun=1, first=10),
        bench.ENCODER: laps(8, 10, 38),
        bench.DECODING: laps(5, 18, 2),
        bench.PROCESSES: laps(20, 16, 20, begun=2, first=20),
        bench.PLAIN[0]: laps(20, 60, 80),
    }
    on_gpu, on_cpu = (bench.ratios(found, on_gpu=gpu) for gpu in (True, False))
    assert on_gpu["end to end / the slower of encoder and decoding"] == pytest.approx(0.9)
    both = "end to end / encoder and decoding one after the other"
    assert both not in on_gpu
    assert on_cpu[both] == pytest.approx(1.3)  # 13/10, 28/20, 40/40
    assert on_cpu[f"end to end / {bench.PLAIN[0]}"] == pytest.approx(2)
    assert on_cpu["end to end, --engine processes / end to end"] == pytest.approx(1.25)
    steady = [(80 / 18) / (90 / 9), (80 / 14) / (90 / 19), (80 / 18) / (90 / 39)]
    assert on_cpu["the same, from the first batch on"] == pytest.approx(sorted(steady)[1])


def test_others_may_fail_but_we_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Lap:
        raise ClipcacheError("no")

    monkeypatch.setattr(bench, "TURNS", 2)
    said: list[str] = []
    ours = {bench.END_TO_END: lambda: laps(1)[0]}
    found, absent = bench.take_turns({**ours, bench.THEIRS: fail}, said.append)
    assert found == {bench.END_TO_END: laps(1, 1)}
    assert absent == {bench.THEIRS: "no"}
    assert len(said) == 3
    with pytest.raises(ClipcacheError, match=r"^no$"):
        bench.take_turns({bench.END_TO_END: fail}, said.append)


def test_no_turn_is_begun_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LONG_ENOUGH", -1.0)
    found, _ = bench.take_turns({bench.END_TO_END: lambda: laps(1)[0]}, lambda line: None)
    assert found == {bench.END_TO_END: laps(1)}
