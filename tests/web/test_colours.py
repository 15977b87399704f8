"""Text must stand out from what is behind it, in both colour schemes (WCAG 2.2, 1.4.3)."""

import re

import pytest

from clipcache.web.site import HERE

SHEET = (HERE / "static" / "page.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\}", SHEET, re.DOTALL)
)
TEXT = [
    *((ink, ground) for ink in ("ink", "soft", "accent") for ground in ("ground", "sheet")),
    ("soft", "well"),
    ("accent", "accent-ground"),
    ("on-accent", "accent"),
    ("fault", "fault-ground"),
    ("fault", "sheet"),
    ("ground", "ink"),
]


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_black_on_white_is_21_to_1() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXT)
def test_text_stands_out(scheme: dict[str, str], ink: str, ground: str) -> None:
    assert contrast(scheme[ink], scheme[ground]) >= 4.5


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_lines_of_the_chart_and_the_focus_stand_out(scheme: dict[str, str]) -> None:
    for line in ("accent", "second"):
        assert contrast(scheme[line], scheme["sheet"]) >= 3


def test_no_colour_is_used_that_was_not_checked() -> None:
    rules = SHEET[SHEET.index("* { box-sizing") :]
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b(?=[^{}]*;)", rules)
