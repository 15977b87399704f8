"""The report of a comparison, as somebody finds it in the folder."""

import csv
import json
import re
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from clipcache.comparison.analysis import Analysis
from clipcache.comparison.results import Results
from clipcache.report.comparison import file_stems, write_report
from tests.made_trials import CONFIG, RANDOM, compared, few_resamples

NASTY = '<b>&"$x_1$'
PLOTS = ("every-run", "2a-means", "2b-gain", "labels-saved", "rare-classes", "calibration", "map")


def runs(level: float, seeds: int, rounds: int = 3) -> list[list[float]]:
    rng = np.random.default_rng(int(100 * level))
    rise = level + 0.03 * np.arange(rounds)
    found: list[list[float]] = (rise + 0.01 * rng.standard_normal((seeds, rounds))).tolist()
    return found


def made() -> Results:
    """Return three arms on two caches, six seeds, with names that no page should show raw."""
    on_each = {NASTY: runs(0.7, 6), "part": runs(0.6, 6), "random": runs(0.5, 6)}
    on_each["part"][0] = on_each["part"][0][:2]  # stopped early
    results = compared(
        {f"{NASTY} photos": on_each, "others": on_each},
        {"part": replace(CONFIG, subsample=300), "random": RANDOM},
        eval_sizes=(None, 200),
        target=0.99,
    )
    first = replace(results.caches[0], classes=(NASTY, "b", "c"))
    return replace(results, caches=(first, results.caches[1]))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Analysis, Results]:
    folder, results = tmp_path_factory.mktemp("compared"), made()
    with few_resamples(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("clipcache.report.pictures.DPI", 50)
        return folder, write_report(results, folder), results


Written = tuple[Path, Analysis, Results]


def test_page_stands_alone_and_escapes(written: Written) -> None:
    page = (written[0] / "report.html").read_text()
    assert NASTY not in page
    assert "<b>" not in page
    assert escape(f"{NASTY} photos") in page
    assert "<script" not in page
    outside = re.findall(r'(?:src|href|url|resource)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert all(u.startswith(("data:", "#")) for u in outside), outside
    urls = {u for u in re.findall(r'[\w:]+="https?://[^"]*"', page) if not u.startswith("xmlns")}
    assert not urls
    assert not re.search(r"\$\{?[a-z_]+\}?\s*<", page)  # no placeholder is left


def test_page_begins_with_the_verdicts(written: Written) -> None:
    folder, analysis, _ = written
    page = (folder / "report.html").read_text()
    assert len(analysis.verdicts) >= 4
    places = [page.index(f"<p>{escape(sentence)}</p>") for sentence in analysis.verdicts]
    assert places == sorted(places)
    assert places[-1] < page.index("<table")


def test_every_arm_has_its_row_and_every_pair_too(written: Written) -> None:
    folder, analysis, results = written
    page = (folder / "report.html").read_text()
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)
    cells = [[unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]
    for arm in results.plan.arms:
        assert sum(found[:1] == [arm.name] for found in cells) == len(results.caches) + 1
    assert sum("<br>against " in row for row in rows) == len(analysis.comparisons)
    shown = sum(c.shown for c in analysis.comparisons)
    assert 0 < shown < len(analysis.comparisons)
    assert page.count("<tr class=shown>") == shown
    assert any("never" in found for found in cells)  # nobody gets to 99 %


def test_plots_are_there_as_png_and_svg(written: Written) -> None:
    plots = written[0] / "plots"
    for stem in file_stems([cache.name for cache in written[2].caches]):
        for plot in PLOTS:
            [png], [svg] = (list(plots.glob(f"{stem}-*{plot}.{kind}")) for kind in ("png", "svg"))
            assert np.asarray(Image.open(png)).std() > 5
            ElementTree.fromstring(svg.read_text())
    assert (plots / "all-caches.png").exists()


def test_plots_name_every_arm_as_it_is(written: Written) -> None:
    for plot in ("2a-means", "every-run", "map"):
        for path in (written[0] / "plots").glob(f"*{plot}.svg"):
            root = ElementTree.fromstring(path.read_text())
            texts = {e.text.split(":")[0] for e in root.iter() if e.tag.endswith("text") and e.text}
            assert {NASTY, "part", "random"} <= texts


def test_plots_say_what_their_numbers_are(written: Written) -> None:
    folder, _, results = written
    for plot, words in (
        ("labels-saved", {"times fewer labels (0: never got there)"}),
        ("map", {f"{arm.name}: 5 picks" for arm in results.plan.arms}),
    ):
        for path in (folder / "plots").glob(f"*{plot}.svg"):
            root = ElementTree.fromstring(path.read_text())
            assert words <= {e.text for e in root.iter() if e.tag.endswith("text")}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_rounds_csv_has_every_number(written: Written) -> None:
    folder, _, results = written
    rows = rows_of(folder / "rounds.csv")
    assert len(rows) == 2 * (3 * 6 * 3 - 1) * 2  # caches, arms, seeds, rounds, evaluations
    trial = results.caches[1].trials["part"][2]
    [row] = [
        row
        for row in rows
        if (row["cache"], row["arm"], row["seed"], row["round"], row["evaluation"])
        == ("others", "part", "2", "1", "200")
    ]
    assert float(row["top1"]) == trial.measured["200"]["top1"][1]
    assert int(row["labels"]) == trial.labels[1]
    assert float(row["seconds"]) == 0.5


def test_summary_and_comparisons_csv_have_what_was_analysed(written: Written) -> None:
    folder, analysis, _ = written
    summary = rows_of(folder / "summary.csv")
    assert len(summary) == len(analysis.summaries) == 2 * 2 * 6 * 3
    assert float(summary[0]["area_low"]) == analysis.summaries[0].area.low
    assert summary[0]["arm"] == NASTY
    assert summary[0]["labels_to_target"] == ""  # never
    pairs = rows_of(folder / "comparisons.csv")
    assert [row["words"] for row in pairs] == [c.words for c in analysis.comparisons]
    assert float(pairs[0]["gain_high"]) == analysis.comparisons[0].gain.high


def no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def test_json_has_all_of_it(written: Written) -> None:
    folder, analysis, _ = written
    content = json.loads((folder / "results.json").read_text(), parse_constant=no_constant)
    assert content["verdicts"] == list(analysis.verdicts)
    for name in ("rounds", "summary", "comparisons"):
        assert len(content[name]) == len(rows_of(folder / f"{name}.csv"))
    assert content["summary"][0]["labels_to_target"] is None
    assert content["plan"]["arms"][1]["config"]["subsample"] == 300
    assert content["caches"][0]["classes"][0] == NASTY


def test_the_smallest_comparison_of_all(tmp_path: Path) -> None:
    """One arm, one seed, one round, one class: nothing to compare, and no NaN anywhere."""
    results = compared({"only": [[0.5]]})
    cache = replace(
        results.caches[0],
        classes=("a",),
        map=results.caches[0].map._replace(labels=np.zeros(30, dtype=np.int64)),
    )
    analysis = write_report(replace(results, caches=(cache,)), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert escape(analysis.verdicts[0]) in page
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).lower()
    json.loads((tmp_path / "results.json").read_text(), parse_constant=no_constant)


def test_a_plan_of_which_no_arm_chooses(tmp_path: Path) -> None:
    """Models without rounds pick nothing, so that there is no map of it."""
    results = compared({"one": runs(0.6, 3), "two": runs(0.5, 3)}, {"two": RANDOM})
    arms = tuple(replace(arm, traditional=True) for arm in results.plan.arms)
    places = results.caches[0].map._replace(picks={})
    bare = replace(results.caches[0], map=places)
    with few_resamples():
        write_report(
            replace(results, plan=replace(results.plan, arms=arms), caches=(bare,)), tmp_path
        )
    assert "Where the picks lie" not in (tmp_path / "report.html").read_text()
    plots = {plot.name for plot in (tmp_path / "plots").iterdir()}
    assert "photos-figure-2a-means.png" in plots
    assert not any("map" in plot for plot in plots)


def test_every_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is renamed into its place; nothing is ever opened there."""
    placed = []
    real = Path.replace

    def place(self: Path, target: Path) -> Path:
        assert self != target
        placed.append(target)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", place)
    monkeypatch.setattr("clipcache.report.pictures.DPI", 50)
    write_report(compared({"only": [[0.5]]}), tmp_path)
    files = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {"report.html", "results.json", "photos-map.png", "photos-map.svg"} <= {
        path.name for path in files
    }
    assert files == set(placed)


def test_caches_never_share_a_plot() -> None:
    stems = file_stems(["a b", "a-b", "a-b-2", "a/b", "..", "all", "größe"])
    assert len(set(stems)) == 7
    assert all(re.fullmatch(r"[\w.-]+", stem) for stem in stems)
    assert "all" not in stems
