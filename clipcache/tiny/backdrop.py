"""What is behind, in front of and between the garment and the lens."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter


def random_backdrop(side: int, *, rng: np.random.Generator) -> Image.Image:
    """Return an RGB background: plain, a gradient, a texture, or cluttered with other things."""
    kind = rng.choice(4, p=(0.45, 0.25, 0.2, 0.1))
    base = rng.uniform(40, 245) + rng.normal(0, 22, 3)
    if kind == 0:
        return Image.new("RGB", (side, side), _pixel(base))
    grain = (2, int(rng.integers(5, 40)), 2)[kind - 1]
    patches = base + rng.normal(0, 18, (grain, grain, 3))
    small = Image.fromarray(np.clip(patches, 0, 255).astype(np.uint8))
    picture = small.resize((side, side), Image.Resampling.BILINEAR)
    if kind == 3:
        _strew(picture, int(rng.integers(2, 6)), rng=rng)
    return picture


def occlude(picture: Image.Image, *, rng: np.random.Generator) -> None:
    """Lay one thing over the picture, in place: a bar across a corner or a blob at the rim."""
    side = picture.width
    pen = ImageDraw.Draw(picture)
    colour = _pixel(rng.uniform(20, 235, 3))
    angle = rng.uniform(0, 2 * np.pi)
    x, y = side * (0.5 + 0.42 * np.array([np.cos(angle), np.sin(angle)]))
    if rng.random() < 0.5:
        r, s = side * rng.uniform(0.08, 0.2, 2)
        pen.ellipse((x - r, y - s, x + r, y + s), fill=colour)
    else:
        along = np.array([-np.sin(angle), np.cos(angle)]) * side
        ends = (x - along[0], y - along[1], x + along[0], y + along[1])
        pen.line(ends, fill=colour, width=round(side * rng.uniform(0.05, 0.13)))


def photograph(picture: Image.Image, *, rng: np.random.Generator) -> Image.Image:
    """Return the picture with uneven light, and sometimes soft focus and sensor noise."""
    if rng.random() < 0.2:
        picture = picture.filter(
            ImageFilter.GaussianBlur(rng.uniform(0.004, 0.012) * picture.width)
        )
    axis = np.linspace(-1, 1, picture.width, dtype=np.float32)
    a, b, fold = rng.normal(0, (0.1, 0.1, 0.05)).astype(np.float32)
    phase = np.float32(rng.uniform(0, 6))
    light = 1 + a * axis[:, None] + b * axis[None, :]
    light += fold * np.sin(9 * (axis[:, None] * a * 8 + axis[None, :]) + phase)
    pixels = np.asarray(picture) * light[:, :, None]
    if rng.random() < 0.35:
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        noise *= np.float32(rng.uniform(2, 7))
        pixels += noise
    return Image.fromarray(pixels.clip(0, 255, out=pixels).astype(np.uint8))


def _strew(picture: Image.Image, n: int, *, rng: np.random.Generator) -> None:
    pen = ImageDraw.Draw(picture)
    side = picture.width
    for x, y, w, h, form in rng.random((n, 5)):
        colour = _pixel(rng.uniform(20, 235, 3))
        box = (x * side, y * side, (x + 0.4 * w) * side, (y + 0.4 * h) * side)
        if form < 0.4:
            pen.ellipse(box, fill=colour)
        elif form < 0.7:
            pen.rectangle(box, fill=colour)
        else:
            pen.line(((x - w) * side, y * side, (x + w) * side, h * side), fill=colour, width=3)


def _pixel(colour: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, int, int]:
    r, g, b = np.clip(colour, 0, 255).astype(int).tolist()
    return r, g, b
