import json
from pathlib import Path

from clipcache.cache import EmbeddingCache
from tests.cli.conftest import Cli


def test_json_holds_the_facts(cli: Cli, embedded: Path) -> None:
    result = cli("info", embedded, "--json")
    assert result.code == 0
    info, cache = json.loads(result.out), EmbeddingCache.open(embedded)
    assert info["encoder"] == cache.identity.to_dict()
    assert (info["images"], info["embedded"], info["pending"], info["failed"]) == (34, 34, 0, 0)
    assert info["classes"] == {"coat": 16, "hat": 14}
    assert info["labelled"] == 30
    assert info["splits"] == {"pool": len(cache.rows("pool")), "test": len(cache.rows("test"))}
    assert (info["dim"], info["chunk_rows"], info["chunks"]) == (128, 8, 5)
    assert info["templates"] == ["a photo of a {}."]
    assert info["bytes"] == sum(f.stat().st_size for f in embedded.rglob("*") if f.is_file())


def test_words_hold_the_same(cli: Cli, embedded: Path) -> None:
    result = cli("info", embedded)
    assert result.code == 0
    assert "images: 34\n" in result.out
    assert "  coat: 16\n" in result.out
    assert "  model: clipcache-tiny\n" in result.out
