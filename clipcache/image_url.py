"""Addresses of images as users say them: a pattern with {key} or {row} where images differ."""

from urllib.parse import quote

HOLES = ("{key}", "{row}")


def is_pattern(text: str) -> bool:
    """Return whether a text gives each image an address of its own."""
    return any(hole in text for hole in HOLES)


def image_url(pattern: str, row: int, key: str) -> str:
    """Return the address of one image; its key is quoted, but for "/"."""
    return pattern.replace("{row}", str(row)).replace("{key}", quote(key))
