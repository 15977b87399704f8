import json
from pathlib import Path
from unittest.mock import patch

import pytest

from clipcache.cache.reader import EmbeddingCache
from clipcache.search import Found
from tests.cli.conftest import Cli
from tests.cli.test_errors import refused
from tests.synthetic import write_cache

CPU = ("--device", "cpu")


def test_words_find_images(cli: Cli, embedded: Path) -> None:
    result = cli("search", embedded, "a coat", "--top", 4, "--json", *CPU)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert len(found) == 4
    assert [*found[0]] == ["row", "key", "cosine", "label", "split"]
    cosines = [one["cosine"] for one in found]
    assert cosines == sorted(cosines, reverse=True)


def test_an_example_finds_itself_by_its_photo_and_its_likes_by_its_key(
    cli: Cli, embedded: Path
) -> None:
    photo = embedded.parent / "photos" / "hat" / "003.png"
    by_photo = json.loads(cli("search", embedded, "--image", photo, "--json", *CPU).out)
    assert by_photo[0]["key"] == "hat/003.png"
    assert by_photo[0]["cosine"] == pytest.approx(1, abs=1e-3)
    by_key = json.loads(cli("search", embedded, "--key", "hat/003.png", "--json").out)
    assert [one["row"] for one in by_key[:5]] == [one["row"] for one in by_photo[1:6]]
    row = str(by_photo[0]["row"])
    assert json.loads(cli("search", embedded, "--row", row, "--json").out) == by_key


def test_a_table_names_keys_in_one_piece(cli: Cli, embedded: Path) -> None:
    result = cli("search", embedded, "--row", 0, "--top", 3)
    head, *lines = result.out.splitlines()
    assert head.split() == ["row", "cosine", "label", "split", "key"]
    assert len(lines) == 3
    keys = EmbeddingCache.open(embedded).keys().tolist()
    assert all(line.split()[-1] in keys for line in lines)


def test_options_arrive_as_they_were_given(cli: Cli, embedded: Path) -> None:
    found = [Found(1, "a b.png", 0.5, None, "pool")]
    options = "--image a.png --image b.png --top 3 --pretrained w.pt --device cpu --row 3 --row 4"
    with patch("clipcache.search.find", autospec=True, return_value=found) as called:
        result = cli("search", embedded, "x y", *options.split(), "--key", "000.png")
    cache, words = called.call_args.args
    row = EmbeddingCache.open(embedded).keys().tolist().index("000.png")
    assert (cache.path, words) == (embedded, "x y")
    assert called.call_args.kwargs == {
        "photos": (Path("a.png"), Path("b.png")),
        "like": [3, 4, row],
        "top": 3,
        "pretrained": "w.pt",
        "device": "cpu",
    }
    assert result.out.splitlines()[1].split() == ["1", "0.500", "pool", "a", "b.png"]


def test_nothing_to_search_for_is_bad_usage(cli: Cli, embedded: Path) -> None:
    result = cli("search", embedded)
    assert result.code == 2
    assert "nothing to search for" in result.err


def test_what_cannot_be_searched_for_is_told_in_a_line(
    cli: Cli, embedded: Path, tmp_path: Path
) -> None:
    refused(cli("search", tmp_path / "no", "x"), "there is no cache at")
    refused(cli("search", embedded, "--key", "x.png"), "no image with the key 'x.png'")
    for row in (99, 10**20):
        refused(cli("search", embedded, "--row", row), f"row {row} of .* has no embedding")
    refused(cli("search", embedded, "--image", tmp_path / "a.png", *CPU), "a.png: file not found")
    write_cache(tmp_path / "made")
    refused(cli("search", tmp_path / "made", "x"), "made elsewhere")
    refused(cli("search", embedded, "x", "--pretrained", "random", *CPU), "made by .* but this is")
