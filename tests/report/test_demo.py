import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from clipcache.embed import EmbedSummary
from clipcache.labels import Round
from clipcache.report.demo import FULL, RANDOM, SUBSAMPLE, DemoResult, Pick, write_page

SUMMARY = EmbedSummary(100, 100, 0, 0, 0, 1.0, (), 70, 30, 0)


def runs(*finals: float) -> list[list[Round]]:
    """One run a value, flat in accuracy, so that its average is that value."""
    return [
        [Round(r, 20 + r, f, f, 0.1, 0.3, 0.9, 0.1, 0.02, 0.0) for r in range(3)] for f in finals
    ]


def result(full: list[list[Round]], part: list[list[Round]], any_: list[list[Round]]) -> DemoResult:
    arms = {FULL: full, SUBSAMPLE: part, RANDOM: any_}
    return DemoResult(SUMMARY, 80, 20, 4, 10, 0.5, arms, [])


def test_verdict_claims_a_difference_only_where_the_interval_excludes_zero() -> None:
    found = result(runs(0.80, 0.82, 0.81), runs(0.79, 0.83, 0.81), runs(0.70, 0.71, 0.70))
    assert re.search(
        r"Margin on the full pool beat random labels: \+10\.\d points", found.verdict()
    )
    assert (
        "The full pool against 300 random images: no difference could be shown" in found.verdict()
    )


def test_verdict_can_be_against_us() -> None:
    found = result(runs(0.60, 0.61, 0.60), runs(0.8, 0.8, 0.8), runs(0.70, 0.71, 0.70))
    assert "Margin on the full pool did worse than random labels" in found.verdict()
    assert "The full pool did worse than 300 random images" in found.verdict()


def test_one_seed_proves_nothing() -> None:
    found = result(runs(0.9), runs(0.1), runs(0.1))
    assert "beat" not in found.verdict()
    assert "one seed shows no more than that" in found.verdict()


def test_lines() -> None:
    line = result(runs(0.8, 0.9), runs(0.5), runs(0.5)).lines()[0]
    assert line.arm == FULL
    assert line.final.mean == pytest.approx(85.0)
    assert line.seconds == pytest.approx(0.12)


def test_page_stands_alone_and_escapes(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8), "red").save(image)
    pick = Pick(image, "<script>alert(1)</script>", (("a & b", 0.5), ("c", 0.4)))
    found = replace(result(runs(0.8, 0.9), runs(0.5, 0.6), runs(0.5, 0.4)), picks=[pick])
    write_page(found, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "a &amp; b 50 % or c 40 %" in page
    assert found.verdict().split(":")[0] in page
    assert "$" not in page
    outside = [u for u in re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page)]
    assert all(u.startswith(("data:", "#")) for u in outside), outside


def test_a_page_is_replaced_by_a_whole_one_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = result(runs(0.8, 0.9), runs(0.5, 0.6), runs(0.5, 0.4))
    write_page(found, tmp_path / "report.html")
    before = (tmp_path / "report.html").read_bytes()
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError("cut off")))
    with pytest.raises(OSError, match="cut off"):
        write_page(replace(found, pool=81), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == before
