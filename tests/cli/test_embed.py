import json
import re
from pathlib import Path
from unittest.mock import Mock, patch

import pytest

from clipcache.arrays import Pixels, Vectors
from clipcache.cache import EmbeddingCache
from clipcache.cache.layout import State
from clipcache.embed import EmbedOptions, EmbedSummary
from clipcache.encoders.openclip import OpenClip
from tests.cli.conftest import TINY, Cli
from tests.cli.test_errors import refused
from tests.pictures import folder, hostile, save, tree


def test_a_folder_becomes_a_cache(cli: Cli, photos: Path, tmp_path: Path) -> None:
    result = cli("embed", photos, tmp_path / "cache", *TINY, "--split", "random:0.4")
    assert result.code == 0
    assert "21 images read" in result.out
    assert "0 failed" in result.out
    cache = EmbeddingCache.open(tmp_path / "cache")
    assert cache.embeddings().shape == (21, 128)
    assert cache.names() == ("coat", "hat")
    assert len(cache.rows("test")) + len(cache.rows("pool")) == 21
    assert 0 < len(cache.rows("test")) < 17
    before = tree(tmp_path / "cache")
    again = cli("embed", photos, tmp_path / "cache", *TINY, "--split", "random:0.4", "--json")
    assert again.code == 0
    assert json.loads(again.out)["unchanged"] == 21
    assert tree(tmp_path / "cache") == before


def test_a_table_becomes_a_cache(cli: Cli, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    rows = ["coat/000\tshort\ttrain", "hat/001\tlong\ttest", "hat/002\t\t", "hat/003\trare\t"]
    table.write_text("\n".join(["name\tsleeve\tpart", *rows]))
    options = ("--path-column", "name", "--path-pattern", "{}.png", "--label-column", "sleeve")
    more = ("--split", "column:part", "--root", photos, "--exclude-label", "rare")
    result = cli("embed", table, tmp_path / "cache", *TINY, *options, *more)
    assert result.code == 0, result.err
    cache = EmbeddingCache.open(tmp_path / "cache")
    assert cache.keys().tolist() == ["coat/000.png", "hat/001.png", "hat/002.png"]
    assert cache.labels().tolist() == [1, 0, -1]
    assert cache.names() == ("long", "short")
    assert cache.rows("test").tolist() == [1]


def test_bad_images_do_not_stop_the_others(cli: Cli, photos: Path, tmp_path: Path) -> None:
    reasons = hostile(photos / "hat")
    result = cli("embed", photos, tmp_path / "cache", *TINY)
    assert result.code == 0
    assert "6 failed" in result.out
    for name, word in reasons.items():
        (line,) = [line for line in result.out.splitlines() if f"hat/{name}: " in line]
        assert line.strip().startswith("failed: ")
        assert word in line
    info = json.loads(cli("info", tmp_path / "cache", "--json").out)
    assert (info["images"], info["embedded"], info["failed"]) == (27, 21, 6)
    assert sum(info["reasons"].values()) == 6
    assert any("30000 x 30000" in reason for reason in info["reasons"])


def test_strict_stops_at_a_bad_image(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "hat" / "bad.jpg").write_text("no picture")
    result = cli("embed", photos, tmp_path / "cache", *TINY, "--strict")
    assert result.code == 1
    assert "error: hat/bad.jpg: not an image" in result.err


def test_random_weights_are_warned_of(cli: Cli, photos: Path, tmp_path: Path) -> None:
    result = cli("embed", photos, tmp_path / "c", *TINY, "--pretrained", "random")
    assert result.code == 0
    assert "warning: clipcache-tiny has random, untrained weights" in result.err


def test_options_arrive_as_they_were_given(cli: Cli, photos: Path, tmp_path: Path) -> None:
    summary = EmbedSummary(1, 1, 0, 0, 0, 1.0, (), 1, 0, 0)
    options = ("--template", "a {}", "--template", "the {}", "--workers", 3, "--strict")
    with patch("clipcache.embed.embed", autospec=True, return_value=summary) as called:
        assert cli("embed", photos, tmp_path / "c", *TINY, *options).code == 0
    source, encoder, path, given, _ = called.call_args.args
    assert len(list(source)) == 21
    assert encoder.identity.model == "clipcache-tiny"
    assert path == tmp_path / "c"
    assert given == EmbedOptions(("a {}", "the {}"), 5, 3, 8, strict=True, keep_held_out=True)


def test_the_last_line_counts_what_the_cache_has(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "hat" / "bad.jpg").write_text("no picture")
    result = cli("embed", photos, tmp_path / "cache", *TINY, "--split", "random:0.4")
    cache = EmbeddingCache.open(tmp_path / "cache")
    pool, test = (len(cache.rows(split)) for split in ("pool", "test"))
    assert pool + test == 21
    last = result.out.splitlines()[-1]
    assert last == f"the cache has {pool} images in the pool and {test} held out; 4 have no label"


SPLIT = ("--split", "random:0.4")


def test_what_was_held_out_comes_to_the_pool_only_if_somebody_says_so(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert cli("embed", photos, cache, *TINY, *SPLIT).code == 0
    held_out = len(EmbeddingCache.open(cache).rows("test"))
    folder(photos, {"belt": 2}, seed=500)  # a new class is not written either
    before = tree(cache)
    words = rf"holds {held_out} images out .* --split as before, .*, or --split none"
    refused(cli("embed", photos, cache, *TINY), words)
    assert tree(cache) == before
    assert cli("embed", photos, cache, *TINY, *SPLIT).code == 0
    assert len(EmbeddingCache.open(cache).rows("test")) >= held_out
    assert cli("embed", photos, cache, *TINY, "--split", "none").code == 0
    assert len(EmbeddingCache.open(cache).rows("test")) == 0
    assert cli("embed", photos, cache, *TINY).code == 0


def test_other_images_may_join_a_cache_without_a_split(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    assert cli("embed", photos, cache, *TINY, *SPLIT).code == 0
    held_out = EmbeddingCache.open(cache).rows("test")
    others = folder(tmp_path / "others", {"belt": 3}, seed=500)
    assert cli("embed", others, cache, *TINY).code == 0
    assert EmbeddingCache.open(cache).rows("test").tolist() == held_out.tolist()


def test_a_path_that_leads_astray_costs_no_vector(cli: Cli, photos: Path, tmp_path: Path) -> None:
    table, cache = tmp_path / "table.csv", tmp_path / "cache"
    files = sorted(p.relative_to(photos).as_posix() for p in photos.rglob("*") if p.is_file())
    table.write_text("\n".join(["path", *files]))
    assert cli("embed", table, cache, *TINY, "--root", photos).code == 0
    before = tree(cache)
    refused(
        cli("embed", table, cache, *TINY, "--root", tmp_path), f"none of the {len(files)} .* --root"
    )
    assert tree(cache) == before
    (photos / files[0]).unlink()  # one that is gone is none of that
    assert cli("embed", table, cache, *TINY, "--root", photos).code == 0
    assert (EmbeddingCache.open(cache).read("state") == State.FAILED).tolist().count(True) == 1


@pytest.mark.parametrize("missing", [True, False])
def test_no_image_that_can_be_used_is_an_error(cli: Cli, tmp_path: Path, missing: bool) -> None:
    table, cache = tmp_path / "table.csv", tmp_path / "cache"
    table.write_text("path\na.jpg\nb.jpg\n")
    if not missing:
        (tmp_path / "a.jpg").write_text("no picture")
    reason = "file not found; do --root and --path-pattern lead" if missing else "not an image"
    for options in ((), ("--json",)):  # and again, when there is nothing more to do
        result = cli("embed", table, cache, *TINY, *options)
        *_, line = result.err.splitlines()  # the bar may stand above it
        assert (result.code, result.out) == (1, "")
        assert re.match(rf"error: none of the 2 images .* a\.jpg: {reason}", line), line
        assert ("--root" in line) == missing
    (tmp_path / "b.jpg").write_bytes(save(tmp_path / "b.png", 1).read_bytes())
    assert cli("embed", table, cache, *TINY).code == 0


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    encode = OpenClip.encode_images
    monkeypatch.setattr(OpenClip, "load", Mock(side_effect=KeyboardInterrupt))
    early = cli("embed", photos, cache, *TINY)
    assert (early.code, early.out) == (130, "")
    assert early.err == "stopped; run the same command again to go on\n"
    monkeypatch.undo()
    calls = iter([encode, encode, encode])  # batches of 5 in chunks of 8

    def stopped(self: OpenClip, pixels: Pixels) -> Vectors:
        if (call := next(calls, None)) is None:
            raise KeyboardInterrupt
        return call(self, pixels)

    monkeypatch.setattr(OpenClip, "encode_images", stopped)
    late = cli("embed", photos, cache, *TINY)
    assert (late.code, late.out) == (130, "")
    words = "stopped: 8 of 21 images are kept; run the same command again to go on"
    assert late.err.splitlines()[-1] == words
    monkeypatch.undo()
    again = cli("embed", photos, cache, *TINY, "--json")
    assert json.loads(again.out)["unchanged"] == 8


def test_how_the_encoder_works_is_an_option(cli: Cli, photos: Path, tmp_path: Path) -> None:
    options = (*TINY, "--precision", "bfloat16", "--fast-decode")
    result = cli("embed", photos, tmp_path / "cache", *options)
    assert result.code == 0, result.err
    assert re.search(r"bfloat16 on cpu.* cosine 0\.99", result.err)
    encoder = json.loads(cli("info", tmp_path / "cache", "--json").out)["encoder"]
    assert encoder["dtype"] == "bfloat16"
    assert encoder["checked"] in result.err
    assert encoder["preprocessing"].startswith("fast: ")
    for other in (TINY, (*TINY, "--fast-decode")):
        refused(cli("embed", photos, tmp_path / "cache", *other), "was made by .*, but this is")
    found = cli("search", tmp_path / "cache", "--image", photos / "hat/000.png", "--device", "cpu")
    assert "hat/000.png" in found.out
