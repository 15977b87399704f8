"""Small images for tests, drawn from a seed, and hostile files that are called images."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def draw(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """A few blocks of colour and some noise: no two seeds look alike."""
    rng = np.random.default_rng(seed)
    blocks = Image.fromarray(rng.integers(0, 256, (3, 3, 3), dtype=np.uint8))
    pixels = np.asarray(blocks.resize(size)).astype(int)
    noise = rng.integers(-20, 21, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def save(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(seed).save(path)
    return path


def folder(root: Path, classes: dict[str, int], *, seed: int = 0) -> Path:
    """`root/CLASS/NNN.png`, so many of each class; "" is the root itself."""
    for name, count in classes.items():
        for number in range(count):
            save(root / name / f"{number:03d}.png", seed)
            seed += 1
    return root


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def hostile(root: Path) -> dict[str, str]:
    """Files that cannot be used, and a word that the reason of each must hold."""
    root.mkdir(parents=True, exist_ok=True)
    whole = root / "whole.jpg"
    draw(1, (200, 200)).save(whole)
    (root / "truncated.jpg").write_bytes(whole.read_bytes()[:700])
    whole.unlink()
    (root / "text.jpg").write_text("I am no picture")
    (root / "huge.png").write_bytes(png_header(30_000, 30_000))
    Image.new("RGB", (1, 60_000), "red").save(root / "strip.png")
    (root / "nothing.png").write_bytes(b"")
    (root / "lost.jpg").symlink_to(root / "not there")
    return {
        "huge.png": "30000 x 30000",
        "lost.jpg": "not found",
        "nothing.png": "empty",
        "strip.png": "60000",
        "text.jpg": "not an image",
        "truncated.jpg": "damaged JPEG",
    }


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` but locks, by its relative name."""
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in sorted(root.rglob("*"))
        if file.is_file() and not file.name.startswith(".lock")
    }
