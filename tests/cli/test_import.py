"""`clipcache import` from outside: files of other programs, the command, and what works on them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clipcache.cache import EmbeddingCache
from tests.cli.conftest import Cli
from tests.cli.test_errors import refused
from tests.made_elsewhere import (
    DIM,
    NAMES,
    clip_retrieval,
    clouds,
    lines,
    npy,
    npz,
    text_vectors,
)
from tests.pictures import tree
from tests.synthetic import write_cache

FAST = ("--init", "random:6", "--batch", 4, "--rounds", 3)


def words(path: Path, n: int) -> Path:
    return lines(path, [NAMES[label] for label in clouds(n)[1]])


SOURCES: dict[str, Callable[[Path], tuple[object, ...]]] = {
    "npz": lambda t: (npz(t / "f.npz", pool=200, test=60, text_x=text_vectors()),),
    "npy": lambda t: (
        npy(t / "v.npy", clouds(260)[0]),
        *("--labels", words(t / "l.txt", 260), "--split", "random:0.3"),
    ),
    "clip-retrieval": lambda t: (
        clip_retrieval(t / "folder", (130, 130)),
        *("--label-column", "class", "--split", "random:0.3"),
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_was_imported_is_a_cache_like_any_other(cli: Cli, tmp_path: Path, kind: str) -> None:
    features, *options = SOURCES[kind](tmp_path)
    cache = tmp_path / "cache"
    command = ("import", features, cache, *options, "--model", "ViT-B-32", "--chunk-rows", 64)
    first = cli(*command)
    assert first.code == 0, first.err
    assert "260 images read" in first.out
    assert "0 failed" in first.out
    before = tree(cache)
    again = cli(*command, "--json")
    assert json.loads(again.out)["unchanged"] == 260
    assert tree(cache) == before
    info = json.loads(cli("info", cache, "--json").out)
    assert (info["embedded"], info["pending"], info["dim"]) == (260, 0, DIM)
    assert info["encoder"]["model"] == "ViT-B-32"
    assert list(info["classes"]) == list(NAMES)
    assert info["splits"]["test"] > 40
    assert cli("verify", cache).out == "5 of 5 chunks are finished, 0 damaged\n"
    run = cli("loop", cache, tmp_path / "run", *FAST, "--json")
    assert run.code == 0, run.err
    rounds = json.loads(run.out)["rounds"]
    assert [r["labels"] for r in rounds] == [6, 10, 14, 18]
    assert rounds[-1]["top1"] > 0.6
    assert tree(cache) == before


def test_bad_rows_are_counted_and_said(cli: Cli, tmp_path: Path) -> None:
    vectors, _ = clouds(40)
    vectors[3], vectors[30:, 1] = 0, np.nan
    features = npy(tmp_path / "v.npy", vectors)
    strict = cli("import", features, tmp_path / "cache", "--strict")
    refused(strict, r"row 3 of v\.npy: its vector is all zeros, .* \(--strict\)")
    assert not (tmp_path / "cache").exists()
    result = cli("import", features, tmp_path / "cache")
    assert result.code == 0
    assert "11 failed" in result.out
    assert "  failed: 000003: its vector is all zeros" in result.out
    assert f"... `clipcache info {tmp_path / 'cache'}` counts all reasons" in result.out
    info = json.loads(cli("info", tmp_path / "cache", "--json").out)
    assert sorted(info["reasons"].values()) == [1, 10]


def test_an_import_keeps_what_is_held_out_too(cli: Cli, tmp_path: Path) -> None:
    features, option, labels = SOURCES["npy"](tmp_path)[:3]
    command = ("import", features, tmp_path / "cache", option, labels)
    assert cli(*command, "--split", "random:0.3").code == 0
    before = tree(tmp_path / "cache")
    refused(cli(*command), "images out .* give --split as before")
    assert tree(tmp_path / "cache") == before
    result = cli(*command, "--split", "none")
    assert result.out.endswith("has 260 images in the pool and 0 held out; 0 have no label\n")


def broken(path: Path, data: bytes = b"PK nonsense") -> Path:
    path.write_bytes(data)
    return path


def spoilt_folder(
    path: Path, spoil: Callable[[Path], object], **columns: list[Any]
) -> tuple[object, ...]:
    folder = clip_retrieval(path / "folder", **columns)
    spoil(folder)
    return (folder,)


def vectors_and(path: Path, option: str, file: Path) -> tuple[object, ...]:
    return (npy(path / "v.npy", clouds(20)[0]), option, file)


PARQUET = "metadata/metadata_1.parquet"
X, Y = clouds(60)
BAD: dict[str, tuple[Callable[[Path], tuple[object, ...]], str]] = {
    "nothing there": (lambda t: (t / "f.npz",), "f.npz does not exist; give a .npz or .npy"),
    "another kind of file": (lambda t: (broken(t / "f.csv"),), "neither a .npz nor a .npy; give"),
    "npz: no archive": (lambda t: (broken(t / "f.npz"),), "cannot read arrays in .*f.npz"),
    "npz: arrays lack": (
        lambda t: (npz(t / "f.npz", test_x=None, test_y=None),),
        "lacks test_x, test_y: expected pool_x, .* found pool_x, pool_y, class_names",
    ),
    "npz: objects": (
        lambda t: (npz(t / "f.npz", class_names=np.array(NAMES, dtype=object)),),
        "cannot read class_names in .* expected plain arrays, .* dtype=str",
    ),
    "npz: other width": (
        lambda t: (npz(t / "f.npz", test_x=np.ones((20, 9))),),
        "test_x in .* has vectors of 9 dimensions, but pool_x of 16",
    ),
    "npz: integers": (
        lambda t: (npz(t / "f.npz", pool_x=np.ones((60, DIM), dtype=int)),),
        "pool_x in .* holds int64: expected float16, float32 or float64",
    ),
    "npz: one row only": (
        lambda t: (npz(t / "f.npz", test_x=np.ones(16)),),
        r"test_x in .* has the shape \(16,\): expected one vector a row",
    ),
    "npz: empty pool": (
        lambda t: (npz(t / "f.npz", pool=0),),
        r"pool_x in .* has the shape \(0, 16\)",
    ),
    "npz: labels too few": (
        lambda t: (npz(t / "f.npz", pool_y=Y[:59]),),
        "pool_y in .* has 59 entries, but pool_x has 60 vectors: expected one for each",
    ),
    "npz: labels too high": (
        lambda t: (npz(t / "f.npz", pool_y=Y + 1),),
        r"has labels from 1 to 3, but there are 3 class names: expected -1 \(unknown\) to 2",
    ),
    "npz: labels too low": (lambda t: (npz(t / "f.npz", pool_y=Y - 2),), "labels from -2 to 0"),
    "npz: labels as floats": (
        lambda t: (npz(t / "f.npz", pool_y=Y.astype(float)),),
        "pool_y in .* holds float64: expected one integer a row",
    ),
    "npz: a name twice": (
        lambda t: (npz(t / "f.npz", class_names=np.array(["a", "b", "a"])),),
        "class_names in .* has 'a' 2 times",
    ),
    "npz: names as numbers": (
        lambda t: (npz(t / "f.npz", class_names=np.arange(3)),),
        "class_names in .* holds int64: expected text",
    ),
    "npz: text of other width": (
        lambda t: (npz(t / "f.npz", text_x=np.ones((3, 4))),),
        "text_x in .* has vectors of 4 dimensions, but pool_x of 16",
    ),
    "npz: text of fewer classes": (
        lambda t: (npz(t / "f.npz", text_x=np.ones((2, DIM))),),
        "class_names has 3 entries, but text_x in .* has 2 vectors",
    ),
    "npz: text half NaN": (
        lambda t: (npz(t / "f.npz", text_x=np.where(np.eye(3, DIM), np.nan, 1)),),
        "for the class 'coat': its vector has NaN .* without a vector has NaN throughout",
    ),
    "npz: no row of use": (
        lambda t: (npz(t / "f.npz", pool_x=0 * X, test_x=np.full((20, DIM), np.nan)),),
        "no row of f.npz can be used, and there are 80; of the last one its vector has NaN",
    ),
    "npz: a split of its own": (
        lambda t: (npz(t / "f.npz"), "--split", "random:0.2"),
        "--split goes with .npy, folder, but .* is a .npz: leave it out",
    ),
    "npy: no array": (lambda t: (broken(t / "v.npy"),), "cannot be read as a .npy file"),
    "npy: cut off": (
        lambda t: (broken(t / "v.npy", npy(t / "w.npy", X).read_bytes()[:900]),),
        "v.npy cannot be read as a .npy file",
    ),
    "npy: objects": (
        lambda t: (npy(t / "v.npy", np.array([[None]])),),
        "cannot be read as a .npy file .* plain numbers",
    ),
    "npy: a npz": (
        lambda t: (npz(t / "f.npz").rename(t / "v.npy"),),
        "is a .npz file by another name",
    ),
    "npy: no rows": (lambda t: (npy(t / "v.npy", X[:0]),), r"has the shape \(0, 16\)"),
    "npy: one number a row": (lambda t: (npy(t / "v.npy", X[0]),), r"has the shape \(16,\)"),
    "npy: no labels there": (
        lambda t: vectors_and(t, "--labels", t / "l.txt"),
        "cannot read .*l.txt .No such file or directory.: expected a text file",
    ),
    "npy: no label numbers there": (
        lambda t: vectors_and(t, "--labels", t / "l.npy"),
        "cannot read .*l.npy .No such file",
    ),
    "npy: labels too many": (
        lambda t: vectors_and(t, "--labels", words(t / "l.txt", 21)),
        "l.txt has 21 entries, but .*v.npy has 20 vectors",
    ),
    "npy: labels not UTF-8": (
        lambda t: vectors_and(t, "--labels", broken(t / "l.txt", b"\xff\n" * 20)),
        "is not UTF-8 text",
    ),
    "npy: labels that are something else": (
        lambda t: vectors_and(t, "--labels", npy(t / "l.npy", np.full(20, 10**15))),
        "labels up to 1000000000000000 for 20 rows: .* give their names with --names",
    ),
    "npy: a label not in the list": (
        lambda t: (
            *vectors_and(t, "--labels", words(t / "l.txt", 20)),
            *("--names", lines(t / "names.txt", ["coat", "hat"])),
        ),
        "l.txt has the label 'shoe', which is not in the list of 2 class names",
    ),
    "npy: a key twice": (
        lambda t: vectors_and(t, "--keys", lines(t / "k.txt", ["a", *"abcdefghijklmnopqrs"])),
        "a is listed 2 times",
    ),
    "npy: an empty key": (
        lambda t: vectors_and(t, "--keys", lines(t / "k.txt", ["a", "", *map(str, range(18))])),
        "line 2 of .*k.txt is empty",
    ),
    "npy: keys too few": (
        lambda t: vectors_and(t, "--keys", lines(t / "k.txt", ["a"])),
        "k.txt has 1 entries, but .*v.npy has 20 vectors",
    ),
    "npy: unknown split": (
        lambda t: (npy(t / "v.npy", X), "--split", "random:half"),
        "--split random:half needs a share, as in random:0.2",
    ),
    "npy: split of 2": (lambda t: (npy(t / "v.npy", X), "--split", "random:2"), "between 0 and 1"),
    "folder: something else": (lambda t: (t,), "has no img_emb/img_emb_.*: expected a folder of"),
    "folder: a table lacks": (
        lambda t: spoilt_folder(t, lambda f: (f / PARQUET).unlink()),
        "has img_emb/img_emb_1, but no metadata of that number",
    ),
    "folder: a table is none": (
        lambda t: spoilt_folder(t, lambda f: broken(f / PARQUET)),
        "metadata_1.parquet cannot be read as a Parquet file",
    ),
    "folder: a table is short": (
        lambda t: spoilt_folder(
            t, lambda f: pq.write_table(pa.table({"image_path": ["a"]}), f / PARQUET)
        ),
        "metadata_1.parquet has 1 entries, but .*img_emb_1.npy has 25 vectors",
    ),
    "folder: no such column": (
        lambda t: (*spoilt_folder(t, lambda f: None), "--label-column", "kind"),
        "no column 'kind'; there are: image_path, caption, class",
    ),
    "folder: labels as floats": (
        lambda t: (*spoilt_folder(t, lambda f: None, share=[0.5] * 55), "--label-column", "share"),
        "the column 'share' of .* holds double: expected class names or integers",
    ),
    "folder: parts of other width": (
        lambda t: spoilt_folder(t, lambda f: npy(f / "img_emb/img_emb_1.npy", np.ones((25, 9)))),
        "img_emb_1.npy has vectors of 9 dimensions, but .*img_emb_0.npy of 16",
    ),
    "folder: labels beside it": (
        lambda t: (*spoilt_folder(t, lambda f: None), "--labels", words(t / "l.txt", 55)),
        "--labels goes with .npy, but .* is a folder",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_is_left_where_no_cache_was(cli: Cli, tmp_path: Path, case: str) -> None:
    prepare, pattern = BAD[case]
    features, *options = prepare(tmp_path)
    refused(cli("import", features, tmp_path / "cache", *options), pattern)
    assert not (tmp_path / "cache").exists()


def test_places_that_are_no_caches_for_it(cli: Cli, tmp_path: Path) -> None:
    features = npz(tmp_path / "f.npz")
    other = write_cache(tmp_path / "other").path
    before = tree(other)
    refused(cli("import", features, other), "was made by clouds / .* this is .* another cache")
    assert tree(other) == before
    refused(cli("import", features, features), "is a file; a cache is a folder")


def test_what_to_install_for_parquet(tmp_path: Path) -> None:
    folder = clip_retrieval(tmp_path / "folder")
    hidden = (
        "import sys; sys.modules['pyarrow'] = None; from clipcache.cli.main import main; main()"
    )
    command = [sys.executable, "-c", hidden, "import", folder, tmp_path / "cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: reading ")
    assert done.stderr.endswith('pip install "clipcache[parquet]"\n')
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "cache").exists()


KILLS = 3


def kill_after(command: list[object], cache: Path, seconds: float) -> bool:
    """Start the command, wait until it has begun to write, then so long, then kill it."""
    with subprocess.Popen(
        [sys.executable, "-m", "clipcache.cli.main", *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as process:
        while not (cache / "zarr.json").exists() and process.poll() is None:
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()
        return process.wait() == -9


def test_kill_9_and_again_gives_the_same_bytes(cli: Cli, tmp_path: Path) -> None:
    pool_x, _ = clouds(160)
    pool_x[::50] = 0
    features = npz(tmp_path / "f.npz", pool=160, test=40, pool_x=pool_x, text_x=text_vectors())
    undisturbed = tmp_path / "undisturbed"
    began = time.perf_counter()
    assert cli("import", features, undisturbed, "--chunk-rows", 16).code == 0
    duration = time.perf_counter() - began
    whole = tree(undisturbed)
    hit = 0
    for number, share in enumerate(np.linspace(0.1, 0.8, KILLS)):
        path = tmp_path / f"killed{number}"
        command = ["import", features, path, "--chunk-rows", 16]
        hit += kill_after(command, path, share * duration)
        result = cli(*command)
        assert result.code == 0, result.err
        assert tree(path) == whole, f"killed after {share * duration:.3f} s"
    assert hit, "every run had ended before it was killed"
    assert EmbeddingCache.open(undisturbed).chunks == 13
