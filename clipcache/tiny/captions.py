"""Captions as people write them under pictures of clothes: true, but seldom precise.

This is where the difficulty of `clipcache-tiny` is set. Two in five captions are small talk: a
name, perhaps a colour, a pattern, a visible part. The others are shop listings, which
enumerate the visible parts ("with a hood, with a big pocket"). Both use the garment's exact name
with a frequency of its own (`Garment.fame`, never for 16 of the 40); else a sibling's name or a
vague word ("top", "something warm"). So the image tower learns to see every part, while the text
tower hears many names rarely or never.
"""

import numpy as np

from clipcache.tiny.fabric import COLOURS, PATTERNS, Cloth
from clipcache.tiny.garments import GARMENTS
from clipcache.tiny.parts import Garment

_LISTING = 0.6  # the share of captions that enumerate the visible parts
_NAMES_COLOUR = 0.35
_NAMES_PATTERN = 0.35
_MENTIONS_DETAIL = 0.7
_USES_SIBLING = 0.4  # of the captions without the exact name

_FRAMES = (
    "{}",
    "{}",
    "my new {}",
    "{} for sale",
    "look at this {}",
    "a photo of {}",
    "selling {}, hardly worn",
)


def random_caption(
    garment: Garment, cloth: Cloth, details: frozenset[str], *, rng: np.random.Generator
) -> str:
    """Return one caption for a garment of that cloth with those optional parts."""
    name = random_name(garment, rng=rng)
    visible = (*garment.details, *sorted(details))
    if rng.random() < _LISTING:
        return f"{name} {', '.join(rng.permutation(visible))}"
    words = [name]
    if cloth.pattern != "plain" and rng.random() < _NAMES_PATTERN:
        words.insert(0, cloth.pattern)
    if rng.random() < _NAMES_COLOUR:
        words.insert(0, cloth.colour)
    if rng.random() < _MENTIONS_DETAIL:
        words.append(str(rng.choice(visible)))
    return str(rng.choice(_FRAMES)).format(" ".join(words))


def random_name(garment: Garment, *, rng: np.random.Generator) -> str:
    """Return what a caption calls the garment: its name, a sibling's, or a vague word."""
    if rng.random() < garment.fame:
        return garment.name
    if garment.loosely and rng.random() < _USES_SIBLING:
        return str(rng.choice(garment.loosely))
    return str(rng.choice(garment.family))


def vocabulary() -> list[str]:
    """Return phrases that hold every word a caption can be made of."""
    parts = [part.name for garment in GARMENTS for part in garment.parts if part.name]
    words = [w for g in GARMENTS for w in (*g.family, *g.loosely, *g.details)]
    words += [g.name for g in GARMENTS if g.fame > 0]
    return [*(frame.format("") for frame in _FRAMES), *COLOURS, *PATTERNS, *parts, *words]
