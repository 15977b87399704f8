from pathlib import Path
from unittest.mock import Mock
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from clipcache.labels import Round
from clipcache.report.plots import learning_curves_svg, save_learning_curve


def rounds(heights: list[float]) -> list[Round]:
    return [
        Round(i, 10 * i, top1, top1, 0.1, 0.3, 0.9, 0.1, 0.1, 0.1) for i, top1 in enumerate(heights)
    ]


def test_png_shows_the_curve(tmp_path: Path) -> None:
    save_learning_curve(rounds([0.1, 0.5, 0.9]), tmp_path / "up.png", "a run", classes=9)
    save_learning_curve(rounds([0.9, 0.5, 0.1]), tmp_path / "down.png", "a run", classes=9)
    up, down = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("up", "down"))
    assert up.shape == down.shape
    assert (up != down).any()


@pytest.mark.parametrize(
    ("classes", "drawn"), [(2, ["top-1"]), (5, ["top-1"]), (6, ["top-5", "top-1"])]
)
def test_top_5_is_drawn_where_it_can_be_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int, drawn: list[str]
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr("clipcache.report.plots.save_png", lambda figure, _: figures.append(figure))
    save_learning_curve(rounds([0.1, 0.5]), tmp_path / "curve.png", "a run", classes=classes)
    [axes] = figures[0].axes
    assert [line.get_label() for line in axes.lines] == drawn


def test_a_curve_is_replaced_by_a_whole_one_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_learning_curve(rounds([0.1, 0.5, 0.9]), tmp_path / "curve.png", "a run", classes=9)
    before = (tmp_path / "curve.png").read_bytes()
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError("cut off")))
    with pytest.raises(OSError, match="cut off"):
        save_learning_curve(rounds([0.9, 0.5]), tmp_path / "curve.png", "a run", classes=9)
    assert (tmp_path / "curve.png").read_bytes() == before


def test_svg_names_every_arm_and_is_the_same_every_time() -> None:
    arms = {
        "margin <b> $x_1$": [rounds([0.1, 0.4]), rounds([0.2, 0.5])],
        "random": [rounds([0.1, 0.2]), rounds([0.2, 0.3])],
    }
    svg = learning_curves_svg(arms)
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")]
    assert "margin <b> $x_1$" in texts
    assert "random" in texts
    assert learning_curves_svg(arms) == svg
