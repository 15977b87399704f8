"""One picture of one garment, as a phone might have taken it, and the caption it might have got."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from clipcache.tiny.backdrop import occlude, photograph, random_backdrop
from clipcache.tiny.captions import random_caption
from clipcache.tiny.fabric import PATTERN_INK, Cloth, pattern_mask, random_cloth
from clipcache.tiny.garments import GARMENTS, Pose, chosen_details, draw_inks, random_pose
from clipcache.tiny.parts import Ink

_OVERSAMPLING = 2
_OCCLUDED = 0.2  # the share of pictures with something in front

_IS_FABRIC = [255 if value == Ink.FABRIC else 0 for value in range(256)]
_IS_DRAWN = [255 if value else 0 for value in range(256)]


@dataclass(frozen=True)
class Subject:
    """What is in a picture."""

    class_index: int
    cloth: Cloth
    details: frozenset[str]  # optional parts that were drawn


def render(class_index: int, *, rng: np.random.Generator, size: int = 96) -> Image.Image:
    """Return an RGB picture of ``size`` pixels of one garment of the class."""
    return _picture(_random_subject(class_index, rng=rng), size, rng=rng)


def render_with_caption(
    class_index: int, *, rng: np.random.Generator, size: int = 96
) -> tuple[Image.Image, str]:
    """Return a picture and a caption such as people write: true, but seldom precise."""
    subject = _random_subject(class_index, rng=rng)
    picture = _picture(subject, size, rng=rng)
    garment = GARMENTS[class_index]
    return picture, random_caption(garment, subject.cloth, subject.details, rng=rng)


def _random_subject(class_index: int, *, rng: np.random.Generator) -> Subject:
    cloth = random_cloth(GARMENTS[class_index].colours, rng=rng)
    return Subject(class_index, cloth, chosen_details(class_index, rng=rng))


def _picture(subject: Subject, size: int, *, rng: np.random.Generator) -> Image.Image:
    side = size * _OVERSAMPLING
    pose = random_pose(rng=rng)
    inks = draw_inks(subject.class_index, pose, subject.details, side=side)
    _print_pattern(inks, subject.cloth, pose, rng=rng)
    shape = inks.point(_IS_DRAWN)
    inks.putpalette(subject.cloth.palette.tobytes())
    canvas = random_backdrop(size, rng=rng).resize((side, side), Image.Resampling.NEAREST)
    canvas.paste(inks.convert("RGB"), mask=shape)
    if rng.random() < _OCCLUDED:
        occlude(canvas, rng=rng)
    return photograph(canvas.reduce(_OVERSAMPLING), rng=rng)


def _print_pattern(
    inks: Image.Image, cloth: Cloth, pose: Pose, *, rng: np.random.Generator
) -> None:
    if cloth.pattern == "plain":
        return
    tilt = float(np.arctan2(pose.matrix[1, 1], pose.matrix[0, 1])) - np.pi / 2
    mask = pattern_mask(cloth.pattern, side=inks.width // 2, tilt=tilt, rng=rng)
    mask = mask.resize(inks.size, Image.Resampling.NEAREST)
    inks.paste(PATTERN_INK, mask=ImageChops.multiply(inks.point(_IS_FABRIC), mask))
