"""The comparisons in bench/ run on a small file, and what must come out by construction does."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from click.testing import CliRunner

from bench import against_skactiveml, heads
from clipcache.cache.reader import EmbeddingCache
from clipcache.dataset import Dataset
from clipcache.experiment import Experiment, simulate
from clipcache.labels import Round
from tests.made_elsewhere import arrays, npz, text_vectors

needs_skactiveml = pytest.mark.skipif(
    not find_spec("skactiveml"), reason="scikit-activeml is not installed: the extra 'peers'"
)


class OneProcess:
    """Does what workers would; to start some takes seconds."""

    def __init__(self, *options: Any) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def map(self, work: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterable[Any]:
        return map(work, tasks)


def in_turn(experiments: Iterable[Experiment]) -> Iterator[list[Round]]:
    for cache, config in experiments:
        data = Dataset.load(EmbeddingCache.open(cache))
        yield [closed.round for closed in simulate(data, config)]


@needs_skactiveml
def test_where_nothing_is_random_both_sides_choose_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(against_skactiveml, "ProcessPoolExecutor", OneProcess)
    file = npz(tmp_path / "made up.npz", pool=120, test=40)
    result = CliRunner().invoke(
        against_skactiveml.main, [str(file), "--seeds", "2", "--rounds", "2", "--json"]
    )
    assert result.exit_code == 0, result.output
    found = {row["strategy"]: row for row in json.loads(result.stdout)["rows"]}
    assert set(found) == set(against_skactiveml.PAIRS)
    for strategy in ("k_center", "margin"):
        assert found[strategy]["ours"] == found[strategy]["theirs"]
        assert found[strategy]["difference"] == {"mean": 0, "low": 0, "high": 0}
    for row in found.values():
        assert row["difference"]["mean"] == pytest.approx(row["ours"] - row["theirs"])
        assert 40 < row["theirs"] <= 100
        assert row["seconds_ours"] > 0
        assert row["seconds_theirs"] > 0


def test_heads_are_held_against_the_better_one_and_against_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "simulate_all", in_turn)
    monkeypatch.setattr(heads, "DEFAULTS", replace(heads.DEFAULTS, batch=5, rounds=2))
    file = npz(tmp_path / "made up.npz", pool=120, test=40, text_x=text_vectors())
    result = CliRunner().invoke(heads.main, [str(file), "--seeds", "2", "--json"])
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)["sets"]
    height = found["heights"]
    assert found["better"] == max(heads.MIXED, key=height.__getitem__)
    assert found["gap"]["mean"] == pytest.approx(height["auto"] - height[found["better"]])
    every, named = found["prior"]
    assert (every["classes"], named["classes"]) == (3, 2)
    assert every["zero_shot"] < named["zero_shot"]  # the hat is never predicted
    for prior, counts in ((every, "0 1 2 3 8 13"), (named, "0 1 2 7 12")):
        gains = prior["gains"]
        assert " ".join(gains) == counts
        assert gains["0"] == 0
        assert gains[str(prior["lowest"]["labels"])] == prior["lowest"]["points"]
        assert prior["lowest"]["points"] == min(gains.values())


def test_only_images_of_named_classes_are_kept() -> None:
    before = arrays(text_x=text_vectors())
    after = heads.named_only(before)
    assert after["class_names"].tolist() == ["coat", "shoe"]
    assert np.isfinite(after["text_x"]).all()
    for split in ("pool", "test"):
        x, y = before[f"{split}_x"], before[f"{split}_y"]
        kept_x, kept_y = after[f"{split}_x"], after[f"{split}_y"]
        for old, new in ((0, 0), (2, 1)):
            np.testing.assert_array_equal(kept_x[kept_y == new], x[y == old])
        assert set(kept_y.tolist()) == {0, 1}


@pytest.mark.parametrize(
    "script", [pytest.param(against_skactiveml, marks=needs_skactiveml), heads]
)
def test_too_few_images_are_told_in_a_line(tmp_path: Path, script: object) -> None:
    file = npz(tmp_path / "made up.npz", test_x=None)
    result = CliRunner().invoke(script.main, [str(file), "--seeds", "2"])  # type: ignore[attr-defined]
    assert result.exit_code == 1
    assert "lacks test_x" in result.output
    assert "Traceback" not in result.output
