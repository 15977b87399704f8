from pathlib import Path
from unittest.mock import Mock
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from clipcache.labels import Round
from clipcache.report.plots import learning_curves_svg, save_learning_curve


def rounds(heights: list[float]) -> list[Round]:
    return [
        Round(i, 10 * i, top1, top1, 0.1, 0.3, 0.9, 0.1, 0.1, 0.1) for i, top1 in enumerate(heights)
    ]


def test_png_shows_the_curve(tmp_path: Path) -> None:
    save_learning_curve(rounds([0.1, 0.5, 0.9]), tmp_path / "up.png", "a run")
    save_learning_curve(rounds([0.9, 0.5, 0.1]), tmp_path / "down.png", "a run")
    up, down = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("up", "down"))
    assert up.shape == down.shape
    assert (up != down).any()


def test_a_curve_is_replaced_by_a_whole_one_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_learning_curve(rounds([0.1, 0.5, 0.9]), tmp_path / "curve.png", "a run")
    before = (tmp_path / "curve.png").read_bytes()
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError("cut off")))
    with pytest.raises(OSError, match="cut off"):
        save_learning_curve(rounds([0.9, 0.5]), tmp_path / "curve.png", "a run")
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
