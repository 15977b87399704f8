"""What a drawn garment is made of: parts in drawing order, and the words people use for it."""

import enum
from dataclasses import dataclass, replace

import numpy as np

from clipcache.tiny.outline import Points, reflect, trace


class Ink(enum.IntEnum):
    """What a part is drawn with; the numbers are indices into the picture's palette."""

    FABRIC = 1  # the garment's colour and pattern
    SHADE = 2  # the same cloth, darker: folds, far sides
    TRIM = 3  # collars, cuffs, bands
    LINE = 4  # seams
    INSIDE = 5  # the inner side, seen through an opening
    SHINE = 6  # buttons, buckles, eyelets
    SOLE = 7  # rubber or leather under a shoe
    STITCH = 8  # contrasting thread


@dataclass(frozen=True)
class Part:
    """One or two outlines in one ink; ``width`` 0 fills them, else it is the pen (hundredths)."""

    ink: Ink
    outlines: tuple[Points, ...]
    width: float = 0.0
    chance: float = 1.0
    swing: float = 0.0  # degrees by which it may turn: arms and legs that spread
    pivot: tuple[float, float] = (0.0, 0.0)  # where it turns
    name: str = ""  # parts of one name appear or stay away together


@dataclass(frozen=True)
class Garment:
    """One class: what it looks like, and what people call it.

    ``fame`` is how often a caption uses the exact name, ``loosely`` the name people use instead,
    ``family`` the vague words, ``details`` the visible parts a caption may mention.
    """

    name: str
    parts: tuple[Part, ...]
    family: tuple[str, ...]
    details: tuple[str, ...]
    fame: float
    loosely: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


def shape(ink: Ink, text: str) -> Part:
    """Return a filled part exactly as written."""
    return Part(ink, (trace(text),))


def fold(ink: Ink, text: str) -> Part:
    """Return a filled part of which only the right half is written, from the fold to the fold."""
    half = trace(text)
    return Part(ink, (np.concatenate([half, reflect(half)]),))


def twins(ink: Ink, text: str) -> Part:
    """Return a filled part and its mirror image: sleeves, legs, lapels."""
    right = trace(text)
    return Part(ink, (right, reflect(right)[::-1]))


def seam(text: str, width: float = 2.5, ink: Ink = Ink.LINE) -> Part:
    """Return a line."""
    return Part(ink, (trace(text),), width=width)


def seams(text: str, width: float = 2.5, ink: Ink = Ink.LINE) -> Part:
    """Return a line and its mirror image."""
    return replace(twins(ink, text), width=width)


def dots(text: str, radius: float = 3.0, ink: Ink = Ink.SHINE) -> Part:
    """Return small discs at the points: buttons, eyelets."""
    r = radius
    rings = (
        f"{x - r},{y} {x - r},{y - r}~ {x},{y - r} {x + r},{y - r}~ {x + r},{y} "
        f"{x + r},{y + r}~ {x},{y + r} {x - r},{y + r}~ {x - r},{y}"
        for x, y in (map(float, word.split(",")) for word in text.split())
    )
    return Part(ink, tuple(trace(ring) for ring in rings))


def moved(dx: float, *parts: Part) -> tuple[Part, ...]:
    """Return the parts moved ``dx`` to the right."""
    by = np.array([dx / 100, 0], dtype=np.float32)
    return tuple(replace(p, outlines=tuple(o + by for o in p.outlines)) for p in parts)


def sometimes(chance: float, name: str, *parts: Part) -> tuple[Part, ...]:
    """Return the parts marked as a detail that only some garments of the class have."""
    return tuple(replace(part, chance=chance, name=name) for part in parts)


def swinging(degrees: float, pivot: str, *parts: Part) -> tuple[Part, ...]:
    """Return the parts made to turn by up to ``degrees`` about ``pivot`` (and its mirror image)."""
    x, y = trace(pivot)[0]
    return tuple(replace(part, swing=degrees, pivot=(float(x), float(y))) for part in parts)
