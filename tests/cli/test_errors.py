"""Every bad input: exit 1, one line that says what was found and what to do, nothing changed."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Cli, Result
from tests.pictures import draw, folder, tree


def refused(result: Result, pattern: str) -> str:
    """Check that it is one line of ours which matches, and return it."""
    assert result.code == 1, result
    assert result.err.startswith("error: "), result.err
    assert result.err.count("\n") == 1, result.err
    assert result.out == ""
    assert re.search(pattern, result.err), result.err
    return result.err


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


Prepare = Callable[[Path], tuple[object, ...]]
SOURCES: dict[str, tuple[Prepare, str]] = {
    "no such source": (lambda t: (t / "nowhere",), "does not exist; give a folder"),
    "empty folder": (lambda t: (folder(t / "none", {}) / "e",), "does not exist"),
    "folder without images": (lambda t: (t,), "no image in .* expected files ending in .jpg"),
    "a file that is no source": (lambda t: (table(t / "a.doc", "x"),), "a file that is no source"),
    "a list of no addresses": (
        lambda t: (table(t / "a.txt", "x"),),
        r"line 1 of .* has 'x': expected an address",
    ),
    "table without the column": (
        lambda t: (table(t / "t.csv", "file,kind\na.jpg,x\n"),),
        "no column 'path'; there are: file, kind",
    ),
    "table without the label column": (
        lambda t: (table(t / "t.csv", "path\na.jpg\n"), "--label-column", "kind"),
        "no column 'kind'; there are: path",
    ),
    "empty table": (lambda t: (table(t / "t.csv", ""),), "is empty: expected"),
    "table without rows": (lambda t: (table(t / "t.csv", "path\n"),), "no rows"),
    "path twice": (
        lambda t: (table(t / "t.csv", "path\na.jpg\nb.jpg\n./a.jpg\n"),),
        "a.jpg is listed 2 times; .* remove the others",
    ),
    "path outside": (lambda t: (table(t / "t.csv", "path\n../a.jpg\n"),), "line 2 .* not below"),
    "short row": (lambda t: (table(t / "t.csv", "path,x\na.jpg\n"),), "line 2 .* 1 cells"),
    "not UTF-8": (lambda t: ((t / "t.csv").write_bytes(b"path\n\xff\n") and t / "t.csv",), "UTF-8"),
    "unknown label": (
        lambda t: (folder(t / "p", {"coat": 1}), "--labels", table(t / "names.txt", "hat\n")),
        "labelled 'coat', which is not in the list",
    ),
    "no file of labels": (
        lambda t: (folder(t / "p", {"coat": 1}), "--labels", t / "names.txt"),
        "cannot read class names",
    ),
    "label to exclude that never occurs": (
        lambda t: (folder(t / "p", {"coat": 1}), "--exclude-label", "cot"),
        "'cot' is to be excluded but never occurs; there are: coat",
    ),
    "more classes than there are": (
        lambda t: (folder(t / "p", {"coat": 1}), "--top-classes", 3),
        "3 most frequent",
    ),
    "unknown split": (
        lambda t: (folder(t / "p", {"": 1}), "--split", "half"),
        "--split half is un",
    ),
    "split without a share": (
        lambda t: (folder(t / "p", {"": 1}), "--split", "random"),
        "needs a share",
    ),
    "split of 2": (lambda t: (folder(t / "p", {"": 1}), "--split", "random:2"), "between 0 and 1"),
    "split nan": (lambda t: (folder(t / "p", {"": 1}), "--split", "random:nan"), "between 0 and 1"),
    "split column of a folder": (
        lambda t: (folder(t / "p", {"": 1}), "--split", "column:part"),
        "needs a table",
    ),
    "split folder of a table": (
        lambda t: (table(t / "t.csv", "path\na.jpg\n"), "--split", "folder"),
        "needs a folder",
    ),
    "folder that is no split": (
        lambda t: (folder(t / "p", {"coat": 1}), "--split", "folder"),
        "'coat' .* is not a split",
    ),
    "unknown word for a split": (
        lambda t: (table(t / "t.csv", "path,s\na.jpg,maybe\n"), "--split", "column:s"),
        "line 2 .* unknown split 'maybe'",
    ),
    "label column of a folder": (
        lambda t: (folder(t / "p", {"": 1}), "--label-column", "x"),
        "are for tables",
    ),
    "pattern without a hole": (
        lambda t: (table(t / "t.csv", "path\na.jpg\n"), "--path-pattern", "x"),
        "exactly one {}",
    ),
    "template without a hole": (
        lambda t: (folder(t / "p", {"coat": 1}), "--template", "a photo"),
        "'a photo' must contain {} once",
    ),
    "unknown model": (
        lambda t: (folder(t / "p", {"": 1}), "--model", "ViT-Z"),
        "no model called 'ViT-Z'",
    ),
    "unknown tag": (
        lambda t: (folder(t / "p", {"": 1}), "--model", "RN50", "--pretrained", "best"),
        "neither a file nor a hub tag of RN50; its tags are: openai",
    ),
    "weights for the built-in": (
        lambda t: (folder(t / "p", {"": 1}), "--model", "clipcache-tiny", "--pretrained", "x"),
        "'x' is neither a file nor a hub tag of clipcache-tiny",
    ),
    "a checkpoint that is none": (
        lambda t: (
            folder(t / "p", {"": 1}),
            *("--model", "RN50", "--pretrained", table(t / "w.pt", "x")),
        ),
        "could not be loaded as weights of RN50",
    ),
}


@pytest.mark.parametrize("case", SOURCES)
def test_nothing_is_left_where_no_cache_was(cli: Cli, tmp_path: Path, case: str) -> None:
    prepare, pattern = SOURCES[case]
    source, *options = prepare(tmp_path)
    model = () if "--model" in options else TINY
    refused(cli("embed", source, tmp_path / "cache", *model, *options), pattern)
    assert not (tmp_path / "cache").exists()


def test_the_hub_out_of_reach(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    began = time.perf_counter()
    line = refused(cli("embed", photos, tmp_path / "cache"), "could not be fetched")
    assert time.perf_counter() - began < 30
    for word in ("ViT-B-32", "laion2b_s34b_b79k", "--pretrained FILE", "--model clipcache-tiny"):
        assert word in line
    assert not (tmp_path / "cache").exists()


def test_no_cuda(cli: Cli, photos: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    result = cli(
        "embed", photos, tmp_path / "cache", "--model", "clipcache-tiny", "--device", "cuda"
    )
    refused(result, "PyTorch sees none; use --device cpu")
    assert not (tmp_path / "cache").exists()


def edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    content = json.loads((path / "zarr.json").read_text())
    change(content["attributes"])
    (path / "zarr.json").write_text(json.dumps(content))


def other_weights(path: Path) -> None:
    edit(path, lambda attributes: attributes["identity"].update(weights="00" * 32))  # type: ignore


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "another encoder": (
        other_weights,
        r"was made by clipcache-tiny / built-in \(weights 000000000000, .* but this is "
        r"clipcache-tiny / built-in .*; use that encoder again, or another cache",
    ),
    "newer format": (lambda p: edit(p, lambda a: a.update(format=9)), "has format 9, .* format 1"),
    "another group": (lambda p: edit(p, dict.clear), "not a clipcache cache"),
    "metadata that are none": (lambda p: (p / "zarr.json").write_text("{"), "cannot be read"),
    "array lost": (lambda p: shutil.rmtree(p / "images" / "embedding"), "embedding; was it copied"),
    "names lost": (lambda p: (p / "text" / "zarr.json").unlink(), "has labels, but text/"),
    "listing lost": (lambda p: (p / "images/key/c/1").unlink(), "listing of chunk 1 .*delete"),
    "seal lost": (
        lambda p: (p / "manifest/listing/c/1/0").unlink(),
        "lacks the seal of chunk 1; run the same",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_cache_that_does_not_fit_is_left_alone(
    cli: Cli, embedded: Path, tmp_path: Path, case: str
) -> None:
    spoil, pattern = SPOILT[case]
    path = tmp_path / "cache"
    shutil.copytree(embedded, path)
    spoil(path)
    before = tree(path)
    source = folder(tmp_path / "photos", {"coat": 3})
    refused(cli("embed", source, path, *TINY, "--split", "none"), pattern)
    assert tree(path) == before
    if case != "another encoder":
        line = cli("loop", path, tmp_path / "run", "--batch", 2, "--rounds", 1)
        refused(line, str(path))
        assert not (tmp_path / "run").exists()


def test_places_that_are_no_caches(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    before = tree(tmp_path)
    refused(cli("embed", photos, tmp_path / "file", *TINY), "is a file; a cache is a folder")
    refused(cli("embed", photos, tmp_path / "file" / "deep", *TINY), "ot a directory")
    refused(cli("embed", photos, photos, *TINY), r"is a folder with other things in it \(")
    for command in ("info", "verify"):
        for place in (photos, tmp_path / "nowhere", tmp_path / "file"):
            refused(cli(command, place), "there is no cache at .*; make one with `clipcache embed")
    refused(cli("loop", photos, tmp_path / "run"), "there is no cache")
    assert tree(tmp_path) == before


def test_a_cache_that_is_being_written(
    cli: Cli, embedded: Path, photos: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cache"
    shutil.copytree(embedded, path)
    hold = f"import filelock, sys\nwith filelock.FileLock({str(path / '.lock')!r}):\n"
    hold += "    print('held', flush=True)\n    sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        before = tree(path)
        refused(cli("embed", photos, path, *TINY), "another process is writing .*; wait for it")
        assert tree(path) == before
        assert cli("info", path).code == 0
        holder.kill()


def loop(cli: Cli, cache: Path, run: Path, *options: object) -> Result:
    return cli("loop", cache, run, "--init", "stratified:1", "--batch", 2, "--rounds", 1, *options)


LOOPS: dict[str, tuple[tuple[object, ...], str]] = {
    "too many rounds": (("--rounds", 500), "need 1002 labels, but the pool has .* ask for fewer"),
    "class too small": (("--init", "stratified:14"), "of 'coat'|of 'hat'|ask for fewer"),
    "start not understood": (("--init", "all"), "--init all is not understood"),
    "start of zero": (("--init", "random:0"), "--init random:0 is not understood"),
    "start without a number": (("--init", "stratified:x"), "--init stratified:x is not understood"),
    "too many test images": (("--eval-size", 99), "--eval-size 99, but there are"),
    "subsample below a batch": (("--subsample", 1), "batch of 2 cannot be chosen from"),
}


@pytest.mark.parametrize("case", LOOPS)
def test_runs_that_cannot_begin(cli: Cli, embedded: Path, tmp_path: Path, case: str) -> None:
    options, pattern = LOOPS[case]
    refused(loop(cli, embedded, tmp_path / "run", *options), pattern)
    assert not (tmp_path / "run").exists()


NO_LABELS = "has no labels: .* replay labels .* `clipcache embed` or `clipcache import` again with"


def test_caches_that_no_run_can_use(cli: Cli, tmp_path: Path) -> None:
    plain = folder(tmp_path / "plain", {"": 3})
    assert cli("embed", plain, tmp_path / "no labels", *TINY).code == 0
    refused(loop(cli, tmp_path / "no labels", tmp_path / "run"), NO_LABELS)
    named = ("--labels", table(tmp_path / "names.txt", "coat\n"))
    assert cli("embed", plain, tmp_path / "no labels", *TINY, *named).code == 0
    refused(loop(cli, tmp_path / "no labels", tmp_path / "run"), NO_LABELS)
    classes = folder(tmp_path / "classes", {"coat": 5, "hat": 5})
    assert cli("embed", classes, tmp_path / "no test", *TINY).code == 0
    refused(
        loop(cli, tmp_path / "no test", tmp_path / "run"),
        "no labelled test images .* `clipcache embed` or `clipcache import` again with --split",
    )
    (classes / "coat" / "bad.jpg").write_text("x")
    shutil.copytree(tmp_path / "no test", tmp_path / "unfinished")
    strict = cli("embed", classes, tmp_path / "unfinished", *TINY, "--strict")
    assert strict.code == 1
    refused(loop(cli, tmp_path / "unfinished", tmp_path / "run"), "not finished: 10 of 11 .* again")
    assert not (tmp_path / "run").exists()


def test_a_run_belongs_to_its_cache_and_options(cli: Cli, embedded: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert loop(cli, embedded, run).code == 0
    other = folder(tmp_path / "photos", {"coat": 16, "hat": 18}, seed=800)
    split = ("--split", "random:0.3")
    assert cli("embed", other, tmp_path / "other", *TINY, *split).code == 0
    before = tree(run)
    refused(loop(cli, tmp_path / "other", run), "belongs to another cache, or images .* changed")
    refused(
        loop(cli, embedded, run, "--seed", 3), "other options: seed 3 instead of 0; give the same"
    )
    assert tree(run) == before
    (tmp_path / "busy").mkdir()
    draw(1).save(tmp_path / "busy" / "mine.png")
    refused(loop(cli, embedded, tmp_path / "busy"), "exists and is not a run; name another folder")
    (run / "run.json").write_text("{")
    refused(loop(cli, embedded, run), "run.json cannot be read")
