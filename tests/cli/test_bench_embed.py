"""`clipcache bench embed` on few images: each case is there, and the figures fit each other."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from clipcache.benchmark import embed as bench
from clipcache.benchmark.clip_inference import is_installed
from clipcache.benchmark.decoding import Decoding
from clipcache.benchmark.embed import EmbedBench, EmbedReport, Speed
from clipcache.benchmark.embed_parts import Memory
from clipcache.cli.speeds import print_speeds
from clipcache.encoders.options import EncoderOptions
from tests.cli.conftest import Cli
from tests.pictures import folder

OURS = {
    bench.END_TO_END,
    bench.AGAIN,
    bench.ENCODER,
    bench.DECODING,
    bench.ONE_CORE,
    bench.WRITING,
    bench.PROCESSES,
}
REPORT = EmbedReport(
    encoder="a model",
    device="cpu",
    images=100,
    distinct=48,
    batch_size=16,
    workers=2,
    chunk_rows=32,
    speeds=(
        Speed("end to end", 100, 0.5, 200.0, 123.4, (0.4, 0.5, 0.6)),
        Speed("decoding alone", 100, 0.25, 400.0, 0.0, (0.25,)),
    ),
    ratios={"a / b": 0.954},
    identical=True,
    encoded_again=0,
    decoding=Decoding(20, 100.0, 420.0, 0.9991, 0.998, 0.997),
    memory=(Memory("tiny, 2,000 small images", 800.0, 855.5),),
    absent={"clip-retrieval": "not installed"},
)


def test_json_holds_every_case(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "TURNS", 1)
    monkeypatch.setattr(bench, "MEMORY_SIZES", (20,))
    monkeypatch.setattr(bench, "BATCHES", (6, 7))
    mine = folder(tmp_path / "mine", {"coat": 9})
    result = cli(
        *("bench", "embed", "--device", "cpu", "--source", mine, "--images", 24),
        *("--batch-size", 4, "--workers", 1, "--json"),
    )
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert (report["images"], report["distinct"], report["device"]) == (24, 9, "cpu")
    assert (report["batch_size"], report["workers"], report["chunk_rows"] % 4) == (4, 1, 0)
    speeds = {speed["name"]: speed for speed in report["speeds"]}
    theirs = {bench.THEIRS} if is_installed() else set()
    assert set(speeds) == OURS | {bench.PLAIN[0]}
    assert set(report["absent"]) == {bench.PLAIN[1], *(theirs or {"clip-retrieval"})}
    assert report["absent"][bench.PLAIN[1]] == "24 images are too few; give --images 28"
    for name, speed in speeds.items():
        assert speed["images"] == (24 if name != bench.ONE_CORE else speed["images"])
        assert speed["rate"] == pytest.approx(speed["images"] / speed["seconds"])
        assert len(speed["turns"]) == 1
    rates = {name: speed["rate"] for name, speed in speeds.items()}
    assert report["ratios"][f"{bench.END_TO_END} / {bench.PLAIN[0]}"] == pytest.approx(
        rates[bench.END_TO_END] / rates[bench.PLAIN[0]]
    )
    assert report["identical"] is True
    assert report["encoded_again"] == 0
    assert report["decoding"]["images"] == 24
    assert [m["name"] for m in report["memory"]] == [
        "clipcache-tiny, 24 images",
        "clipcache-tiny, 20 small images",
    ]
    assert "turn 1: end to end\n" in result.err


def test_options_arrive_as_they_were_given(cli: Cli, tmp_path: Path) -> None:
    with patch.object(bench, "bench_embed", autospec=True, return_value=REPORT) as called:
        result = cli(
            *("bench", "embed", "--model", "ViT-B-32", "--pretrained", "random"),
            *("--device", "cpu", "--precision", "auto", "--fast-decode", "--compile"),
            *("--images", 7, "--source", tmp_path, "--batch-size", 3, "--workers", 5, "--json"),
        )
    assert result.code == 0, result.err
    encoder = EncoderOptions("ViT-B-32", "random", "cpu", "auto", fast_decode=True, compile=True)
    assert called.call_args.args == (EmbedBench(encoder, 7, tmp_path, 3, 5),)


def test_an_encoder_that_cannot_be_had_is_one_line(cli: Cli, tmp_path: Path) -> None:
    mine = folder(tmp_path / "mine", {"": 1})
    result = cli("bench", "embed", "--model", "no such model", "--source", mine)
    assert result.code == 1
    assert result.err.splitlines()[-1].startswith("error: open_clip has no model called")


def test_tables_show_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_speeds(REPORT)
    out = capsys.readouterr().out
    rows = [[c.strip() for c in x.split("|")[1:-1]] for x in out.splitlines() if x[:1] == "|"]
    for row in (
        ["end to end", "100", "0.50", "200", "123"],
        ["decoding alone", "100", "0.25", "400", ""],
        ["a / b", "0.95x"],
        ["--fast-decode", "420", "4.2x"],
        ["tiny, 2,000 small images", "800", "856", "56"],
    ):
        assert row in rows
    for words in (
        "100, of 48 files in turn, in batches of 16 and chunks of 32; 2 decode",
        "0.99910 on average, 0.99800 for 1 of 100, 0.99700 at least",
        "wrote the same bytes as one process",
        "the second run encoded 0 images",
        "clip-retrieval: not installed",
    ):
        assert words in out


def test_other_bytes_are_shouted(capsys: pytest.CaptureFixture[str]) -> None:
    print_speeds(replace(REPORT, identical=False, decoding=None, memory=()))
    out = capsys.readouterr().out
    assert "OTHER BYTES" in out
    assert "fast-decode" not in out
    assert "peak of memory" not in out


def test_a_terminated_one_leaves_no_temporary_files(tmp_path: Path) -> None:
    bench = subprocess.Popen(
        [sys.executable, "-m", "clipcache.cli.main", "bench", "embed", "--images", "4"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert bench.stderr
    assert bench.stderr.readline() == "loading the encoder\n"
    assert list(tmp_path.glob("clipcache-bench-*"))
    bench.terminate()
    bench.communicate(timeout=60)
    assert bench.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("clipcache-bench-*"))
