"""The 40 classes of `clipcache-tiny`, and how one is drawn into a picture of ink numbers.

A garment is drawn once into a single-channel picture whose values are inks, with patterns and
colours put in afterwards: filling polygons in one channel is what makes fresh training pictures
cheap enough to draw them while the model trains.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from clipcache.tiny.accessories import ACCESSORIES
from clipcache.tiny.bottoms import ALL_IN_ONE, BOTTOMS
from clipcache.tiny.footwear import FOOTWEAR
from clipcache.tiny.outline import Points
from clipcache.tiny.parts import Part
from clipcache.tiny.tops import TOPS

GARMENTS = (*TOPS, *BOTTOMS, *ALL_IN_ONE, *FOOTWEAR, *ACCESSORIES)
CLASSES: tuple[str, ...] = tuple(garment.name for garment in GARMENTS)


@dataclass(frozen=True)
class Pose:
    """How a garment lies in the picture: ``x -> matrix x + shift`` after bending its outline."""

    matrix: NDArray[np.float32]  # (2, 2), garment units to picture units
    shift: NDArray[np.float32]  # (2,), picture units, [-1, 1]
    bend: NDArray[np.float32]  # (4,), two amplitudes and two phases
    spread: float  # how far arms and legs turn, in [-1, 1] of what the garment allows

    @property
    def scale(self) -> float:
        """Return the side of a garment unit in picture units."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))


def random_pose(*, rng: np.random.Generator) -> Pose:
    """Return a pose: mostly upright and large, sometimes tilted, flipped or partly outside."""
    tilt = rng.normal(0, 0.12) if rng.random() < 0.94 else rng.uniform(-0.8, 0.8)
    cos, sin = np.cos(tilt), np.sin(tilt)
    size = rng.uniform(0.72, 0.95)
    stretch = np.diag(rng.uniform(0.86, 1.12, size=2)) * size
    stretch[0, 0] *= rng.choice((-1, 1))
    slant = np.array([[1, rng.normal(0, 0.08)], [rng.normal(0, 0.05), 1]])
    room = 1.05 - size
    return Pose(
        matrix=(np.array([[cos, -sin], [sin, cos]]) @ slant @ stretch).astype(np.float32),
        shift=rng.uniform(-room, room, size=2).astype(np.float32),
        bend=np.concatenate([rng.normal(0, 0.03, 2), rng.uniform(0, 6.28, 2)]).astype(np.float32),
        spread=float(rng.uniform(-1, 1)),
    )


def chosen_details(class_index: int, *, rng: np.random.Generator) -> frozenset[str]:
    """Return the names of the optional parts that this one garment has."""
    options = {part.name: part.chance for part in GARMENTS[class_index].parts if part.name}
    return frozenset(name for name, chance in options.items() if rng.random() < chance)


def draw_inks(class_index: int, pose: Pose, details: frozenset[str], *, side: int) -> Image.Image:
    """Return an "L" picture of ``side`` pixels whose values are `Ink` numbers, 0 where empty."""
    canvas = Image.new("L", (side, side))
    pen = ImageDraw.Draw(canvas)
    sheet = _sheet(class_index)
    points = (_posed(sheet, pose) + 1) * (side / 2)
    pixel = pose.scale * side / 200
    for part, start, stop in sheet.strokes:
        if part.name and part.name not in details:
            continue
        corners = points[start:stop].ravel().tolist()
        if part.width:
            pen.line(corners, fill=part.ink, width=max(1, round(part.width * pixel)))
        else:
            pen.polygon(corners, fill=part.ink)
    return canvas


@dataclass(frozen=True)
class _Sheet:
    """All outlines of a garment in one array, so that posing it costs a handful of NumPy calls."""

    points: Points  # (n, 2)
    pivots: Points  # (n, 2)
    swings: NDArray[np.float32]  # (n,), radians
    strokes: tuple[tuple[Part, int, int], ...]  # each outline's part and its rows of points


@cache
def _sheet(class_index: int) -> _Sheet:
    points, pivots, swings, strokes = [], [], [], []
    stop = 0
    for part in GARMENTS[class_index].parts:
        for i, outline in enumerate(part.outlines):
            n, side = len(outline), -1 if i == 1 else 1  # the second outline is a mirror image
            points.append(outline)
            pivots.append(np.tile((part.pivot[0] * side, part.pivot[1]), (n, 1)))
            swings.append(np.full(n, np.deg2rad(part.swing * side)))
            start, stop = stop, stop + n
            strokes.append((part, start, stop))
    return _Sheet(
        points=np.concatenate(points),
        pivots=np.concatenate(pivots).astype(np.float32),
        swings=np.concatenate(swings).astype(np.float32),
        strokes=tuple(strokes),
    )


def _posed(sheet: _Sheet, pose: Pose) -> Points:
    angle = sheet.swings * np.float32(pose.spread)
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = (sheet.points - sheet.pivots).T
    turned = np.stack([cos * x + sin * y, cos * y - sin * x], axis=1) + sheet.pivots
    a, b, p, q = pose.bend
    x, y = turned.T
    bent = np.stack([x + a * np.sin(2.4 * y + p), y + b * np.sin(2.4 * x + q)], axis=1)
    return np.asarray(bent @ pose.matrix.T + pose.shift, dtype=np.float32)
