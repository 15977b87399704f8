"""Outlines written as text, so that a garment's shape is data a reader can edit, not code.

The notation is that of TrueType fonts: ``"x,y"`` is a corner the outline passes through, and
``"x,y~"`` is a control point that bends it (a quadratic Bezier). Two control points in a row have
a corner half-way between them. Units are hundredths of half the picture, y points down, and
(0, 0) is the middle.
"""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Knot = tuple[NDArray[np.float64], bool]  # a point, and whether it bends

_CURVE_STEPS = (0.25, 0.5, 0.75)


def trace(text: str) -> Points:
    """Return the points ``(n, 2) float32`` of an outline, in [-1, 1], its curves flattened.

    >>> trace("0,0 100,50").tolist()
    [[0.0, 0.0], [1.0, 0.5]]
    """
    knots = _with_implied_corners([_knot(word) for word in text.split()])
    points: list[NDArray[np.float64]] = []
    for i, (point, bends) in enumerate(knots):
        if not bends:
            points.append(point)
        elif 0 < i < len(knots) - 1:
            points.extend(_bezier(knots[i - 1][0], point, knots[i + 1][0]))
    return np.asarray(np.array(points) / 100, dtype=np.float32)


def reflect(points: Points) -> Points:
    """Return the points mirrored left to right, in the reverse order."""
    return points[::-1] * np.array([-1, 1], dtype=np.float32)


def _knot(word: str) -> Knot:
    x, y = word.rstrip("~").split(",")
    return np.array([float(x), float(y)]), word.endswith("~")


def _with_implied_corners(knots: list[Knot]) -> list[Knot]:
    filled = knots[:1]
    for knot in knots[1:]:
        if knot[1] and filled[-1][1]:
            filled.append(((knot[0] + filled[-1][0]) / 2, False))
        filled.append(knot)
    return filled


def _bezier(
    start: NDArray[np.float64], control: NDArray[np.float64], end: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    return [(1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end for t in _CURVE_STEPS]
