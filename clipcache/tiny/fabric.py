"""Colours and patterns of cloth: the words for them, and how they look."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipcache.tiny.parts import Ink

RGB = NDArray[np.float64]  # (3,), in [0, 255]
Field = NDArray[np.float32]  # (side, side)
Mask = NDArray[np.bool_]  # (side, side)

COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (32, 31, 34),
    "white": (240, 240, 238),
    "grey": (136, 138, 142),
    "red": (200, 34, 40),
    "blue": (52, 104, 200),
    "navy": (28, 38, 88),
    "green": (46, 128, 66),
    "yellow": (240, 206, 60),
    "orange": (236, 128, 36),
    "pink": (240, 150, 180),
    "purple": (118, 62, 146),
    "brown": (112, 72, 44),
    "beige": (214, 194, 160),
    "turquoise": (48, 176, 176),
}


def _blobs(u: Field, v: Field, f: float) -> Mask:
    wave = np.sin(u * f) + np.sin(1.7 * v * f + u) + np.sin(1.3 * (u - v) * f)
    return np.asarray(wave > 0.5)


def _checks(u: Field, v: Field, f: float) -> Mask:
    return np.asarray((u * f % 1 < 0.3) | (v * f % 1 < 0.3))


def _dots(u: Field, v: Field, f: float) -> Mask:
    return np.asarray((u * f % 1 - 0.5) ** 2 + (v * f % 1 - 0.5) ** 2 < 0.07)


def _zigzag(u: Field, v: Field, f: float) -> Mask:
    return np.asarray((v * f + np.abs(u * f % 1 - 0.5)) % 1 < 0.45)


PATTERNS: dict[str, Callable[[Field, Field, float], Mask]] = {
    "striped": lambda u, v, f: np.asarray(v * f % 1 < 0.45),
    "pinstriped": lambda u, v, f: np.asarray(u * f * 1.4 % 1 < 0.25),
    "checked": _checks,
    "dotted": _dots,
    "zigzag": _zigzag,
    "camouflage": _blobs,
}


@dataclass(frozen=True)
class Cloth:
    """The words for a garment's cloth, and the palette that its inks are shown in."""

    colour: str
    second: str  # the pattern's colour
    pattern: str  # a key of PATTERNS, or "plain"
    palette: NDArray[np.uint8]  # (PATTERN_INK + 1, 3), by ink


PATTERN_INK = max(Ink) + 1


def random_cloth(preferred: tuple[str, ...], *, rng: np.random.Generator) -> Cloth:
    """Return a cloth; most garments are plain, and ``preferred`` colours come up more often."""
    names = list(COLOURS)
    colour = str(rng.choice(preferred if preferred and rng.random() < 0.7 else names))
    second = str(rng.choice([name for name in names if name != colour]))
    pattern = "plain" if rng.random() < 0.65 else str(rng.choice(list(PATTERNS)))
    main, other = _tinted(colour, rng=rng), _tinted(second, rng=rng)
    trim = other if rng.random() < 0.3 else main * rng.uniform(0.72, 0.9)
    palette = np.zeros((PATTERN_INK + 1, 3))
    palette[Ink.FABRIC] = main
    palette[Ink.SHADE] = _towards_contrast(main, rng.uniform(0.18, 0.3))
    palette[Ink.TRIM] = trim
    palette[Ink.LINE] = _towards_contrast(main, rng.uniform(0.4, 0.65))
    palette[Ink.INSIDE] = main * 0.35 + rng.uniform(20, 60)
    palette[Ink.SHINE] = _tinted(str(rng.choice(("white", "grey", "beige", "black"))), rng=rng)
    palette[Ink.SOLE] = _tinted(str(rng.choice(("white", "black", "brown", "beige"))), rng=rng)
    palette[Ink.STITCH] = _tinted(str(rng.choice(("orange", "beige", "white"))), rng=rng)
    palette[PATTERN_INK] = other
    return Cloth(colour, second, pattern, np.clip(palette, 0, 255).astype(np.uint8))


def pattern_mask(pattern: str, *, side: int, tilt: float, rng: np.random.Generator) -> Image.Image:
    """Return an "L" mask, 255 where the pattern's second colour shows, tilted like the garment."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    u = cos * axis[None, :] + sin * axis[:, None] + np.float32(rng.random())
    v = cos * axis[:, None] - sin * axis[None, :] + np.float32(rng.random())
    frequency = float(rng.uniform(3, 7))
    mask = PATTERNS[pattern](u, v, frequency * (2 if pattern == "camouflage" else 1))
    return Image.fromarray(mask.astype(np.uint8) * 255)


def _tinted(name: str, *, rng: np.random.Generator) -> RGB:
    return np.clip(np.array(COLOURS[name]) * rng.uniform(0.85, 1.12) + rng.normal(0, 7, 3), 8, 250)


def _towards_contrast(colour: RGB, amount: float) -> RGB:
    """Return the colour darkened, or lightened where it is too dark for that to be seen."""
    target = 190.0 if colour.mean() < 60 else 0.0
    return colour * (1 - amount) + target * amount
