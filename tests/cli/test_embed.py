import json
from pathlib import Path
from unittest.mock import patch

from clipcache.cache import EmbeddingCache
from clipcache.embed import EmbedOptions, EmbedSummary
from tests.cli.conftest import TINY, Cli
from tests.pictures import hostile, tree


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
    summary = EmbedSummary(1, 1, 0, 0, 0, 1.0, ())
    options = ("--template", "a {}", "--template", "the {}", "--workers", 3, "--strict")
    with patch("clipcache.embed.embed", autospec=True, return_value=summary) as called:
        assert cli("embed", photos, tmp_path / "c", *TINY, *options).code == 0
    source, encoder, path, given, _ = called.call_args.args
    assert len(list(source)) == 21
    assert encoder.identity.model == "clipcache-tiny"
    assert path == tmp_path / "c"
    assert given == EmbedOptions(("a {}", "the {}"), 5, 3, 8, strict=True)
