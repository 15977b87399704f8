"""Where Label Studio finds the images: addresses of the user's own, or our server's."""

import hmac
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from clipcache.errors import LabelStudioError
from clipcache.image_url import image_url, is_pattern
from clipcache.label_studio.client import checked_url
from clipcache.web.token import read_token

BACKEND = "http://127.0.0.1:9090"
"""Where our server is, unless it is told otherwise."""

Address = Callable[[int, str], str]
"""(row, key) -> where a browser finds the image."""


def address_of(where: str, folder: Path) -> Address:
    """Return the addresses of the images of the run in `folder`.

    `where` is a pattern of the user's own, as https://host/{key} or with {row}, in which keys are
    quoted, but for "/"; or the address of our server, where each image has a token of its own.
    Raises LabelStudioError where it is neither.
    """
    if is_pattern(where):
        return lambda row, key: image_url(where, row, key)
    if "{" in where:
        raise LabelStudioError(
            f"--image-url {where!r} is the same for all images: write {{key}} or {{row}} where "
            "they differ"
        )
    base, secret = checked_url(where, "--image-url"), derived(folder, "images")
    return lambda row, _key: f"{base}/image/{image_token(secret, row)}/{row}"


def image_token(secret: str, row: int | str) -> str:
    """Return what must be known to see an image; `row` may be as its address says it."""
    return hmac.new(secret.encode(), str(row).encode(), sha256).hexdigest()[:32]


def derived(folder: Path, purpose: str) -> str:
    """Return the secret of a run for one purpose; nobody learns another one from it."""
    token = read_token(folder).encode()
    return hmac.new(token, f"label-studio {purpose}".encode(), sha256).hexdigest()
