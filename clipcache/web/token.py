"""The secret of a run's pages: whoever knows it may label."""

import os
import secrets
from hashlib import sha256
from pathlib import Path

from clipcache.durable import flush
from clipcache.errors import RunError

NAME = "web-token"
BYTES = 32


def read_token(folder: Path) -> str:
    """Return the token of the run in `folder`, making it when there is none yet.

    It stays the same for ever, so that a server that was started again knows its browsers; delete
    RUN/web-token and start again to shut them all out. Only its owner may read the file. Raises
    RunError where the file cannot be read or written, or does not hold a token.
    """
    path = folder / NAME
    try:
        if not path.exists():
            _make(path)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be used: {error}; delete it to get a new one") from error
    if len(token) < BYTES or not token.replace("-", "").replace("_", "").isalnum():
        raise RunError(f"{path} does not hold a token: delete it to get a new one")
    return token


def public_id(token: str) -> str:
    """Return what tells one run's cookies and addresses from another's, and gives nothing away."""
    return sha256(b"clipcache page " + token.encode()).hexdigest()[:12]


def _make(path: Path) -> None:
    """Write a new token; where two servers do so at once, the first one's counts."""
    partial = path.with_name(f"{NAME}.{secrets.token_hex(4)}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(BYTES) + "\n")
    flush(partial)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()
    flush(path)
