"""Buckets of S3, Google Cloud Storage and Azure: the only door to obstore, an optional download.

Credentials, regions and endpoints come from where each cloud's own programs look for them, never
from a URL, which would end up in run folders and caches. Every request has a timeout and is tried a
bounded number of times; what is wrong then is told in one line.
"""

import os
import re
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from clipcache.errors import SourceError

CLOUDS = {
    "s3": "S3",
    "gs": "Google Cloud Storage",
    "gcs": "Google Cloud Storage",
    "az": "Azure",
    "abfs": "Azure",
    "abfss": "Azure",
}
"""How a URL begins, and whose bucket it then names."""

CREDENTIALS = {
    "S3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), static keys of "
    "AWS_PROFILE in ~/.aws/credentials, or the machine's role; for single sign-on first run "
    '`eval "$(aws configure export-credentials --format env)"`; for a public bucket set '
    "AWS_SKIP_SIGNATURE=true",
    "Google Cloud Storage": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default "
    "login`, or the machine's service account; for a public bucket set GOOGLE_SKIP_SIGNATURE=true",
    "Azure": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or "
    "AZURE_STORAGE_SAS_TOKEN, `az login` with AZURE_USE_AZURE_CLI=true, or the machine's managed "
    "identity; for a public container set AZURE_SKIP_SIGNATURE=true",
}
"""Where credentials are looked for, for messages."""

CLIENT = {"connect_timeout": "5s", "timeout": "300s"}
"""The second is for a whole answer, which may be a group of rows of a gigabyte."""
RETRY = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
PAGE = 1000
"""Objects listed by a request; no cloud gives more."""

CODES = {
    "NoSuchBucket": "bucket",
    "ContainerNotFound": "bucket",
    "AccessDenied": "rights",
    "AuthorizationFailure": "rights",
    "AuthorizationPermissionMismatch": "rights",
    "AuthenticationFailed": "credentials",
    "ExpiredToken": "credentials",
    "InvalidAccessKeyId": "credentials",
    "InvalidAuthenticationInfo": "credentials",
    "InvalidToken": "credentials",
    "SignatureDoesNotMatch": "credentials",
    "TokenRefreshRequired": "credentials",
}
"""What the codes in answers are about; others are about one object or request."""
PHRASES = {
    "Account must be specified": "credentials",
    "performing token request": "credentials",
    "Missing SecretAccessKey": "credentials",
    "Missing AccessKeyId": "credentials",
    "/latest/api/token": "credentials",  # where machines of Amazon learn who they are
    "/latest/meta-data": "credentials",
    "invalid_grant": "credentials",
    "HTTP error": "network",
    "timed out": "network",
    "request or response body error": "network",
}
"""The same of what obstore says where nothing has answered."""


class Found(NamedTuple):
    """What a cloud says of an object."""

    key: str
    """Its path below the prefix."""
    size: int
    mtime_ns: int


def is_object_url(text: str) -> bool:
    """Tell whether the text is a URL of something in a bucket.

    >>> is_object_url("s3://photos/2024"), is_object_url("photos/2024")
    (True, False)
    """
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.lower() in CLOUDS


def open_store(url: str) -> Any:
    """Return obstore's store of the bucket in `url`, rooted at the prefix that the URL names.

    Nothing is asked of the cloud yet. Raises SourceError where the URL names no bucket, or obstore
    is not installed.
    """
    scheme, bucket, prefix = _parted(url)
    _needed(url)
    from obstore import store as stores
    from obstore.exceptions import BaseError

    how: dict[str, Any] = {"prefix": prefix or None, "retry_config": RETRY}
    how["client_options"] = CLIENT | ({"allow_http": True} if _plain_http() else {})
    try:
        if CLOUDS[scheme] == "S3":
            return stores.S3Store(bucket, **how, **_profile())
        if CLOUDS[scheme] == "Azure":
            container, _, host = bucket.partition("@")
            if host:
                how["account_name"] = host.partition(".")[0]
            return stores.AzureStore(container, **how)
        return stores.GCSStore(bucket, **how)
    except (BaseError, ValueError) as error:
        refuse(error, url)


def refuse(error: Exception, url: str) -> NoReturn:
    """Raise SourceError saying in one line what an error of obstore about `url` means."""
    raise SourceError(_meaning(error, url)) from error


@dataclass(frozen=True)
class Objects:
    """What lies below a prefix. Any thread may use it; a copy connects anew."""

    url: str

    def __getstate__(self) -> dict[str, str]:
        return {"url": self.url}  # a store holds sockets and credentials

    def list(self) -> Iterator[Found]:
        """Yield every object, in the cloud's order; SourceError where they cannot be listed."""
        library, store = self._obstore, self._store
        try:
            for page in library.list(store, chunk_size=PAGE):
                for meta in page:
                    yield _found(meta)
        except (FileNotFoundError, library.exceptions.BaseError) as error:
            refuse(error, self.url)

    def head(self, key: str) -> Found:
        """Return size and time of one object; errors as in `get`."""
        return _found(self._ask("head", key))

    def get(self, key: str) -> bytes:
        """Return the bytes of one object.

        Raises FileNotFoundError where there is none, PermissionError where this one may not be
        read, ValueError where `key` cannot be one, SourceError where none can be read.
        """
        return bytes(self._ask("get", key).bytes())

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes of one object from `start` on, less at its end; errors as `get`."""
        return bytes(self._ask("get_range", key, start=start, length=length)) if length else b""

    def _ask(self, what: str, key: str, **how: int) -> Any:
        library, store = self._obstore, self._store
        try:
            return getattr(library, what)(store, key, **how)
        except FileNotFoundError as error:
            if _about(error) == "bucket":
                refuse(error, self.url)
            raise
        except library.exceptions.BaseError as error:
            name = type(error).__name__
            if name == "PermissionDeniedError" and _about(error) in ("", "rights"):
                raise PermissionError(f"access to {key} is denied") from error
            if name == "InvalidPathError":
                raise ValueError(f"{key} is no name of an object") from error
            refuse(error, self.url)

    @cached_property
    def _store(self) -> Any:
        return open_store(self.url)

    @property
    def _obstore(self) -> Any:
        _needed(self.url)
        import obstore.exceptions

        return obstore


def _needed(url: str) -> None:
    """Raise SourceError where obstore is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError as error:
        raise SourceError(
            f'{url} needs obstore, which is missing: pip install "clipcache[cloud]"'
        ) from error


def _parted(url: str) -> tuple[str, str, str]:
    """Return scheme, bucket and prefix of a URL."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if not is_object_url(url) or not bucket:
        raise SourceError(
            f"{url} names no bucket: expected one of {', '.join(CLOUDS)}, as in s3://bucket/prefix"
        )
    return scheme.lower(), bucket, prefix.strip("/")


def _found(meta: Any) -> Found:
    modified: datetime = meta["last_modified"]
    seconds = int(modified.timestamp() // 1)
    return Found(meta["path"], meta["size"], seconds * 10**9 + modified.microsecond * 1000)


def _plain_http() -> bool:
    """Tell whether the environment names an endpoint without TLS, as test servers are."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_ENDPOINT")
    return any(os.environ.get(name, "").startswith("http://") for name in names)


def _profile() -> dict[str, Any]:
    """Return the static keys and the region of the AWS profile in use.

    obstore reads the environment but not these files. Keys in the environment go first, and so
    does a role where no profile is asked for by name and none is called default.
    """
    home, profile = Path.home() / ".aws", os.environ.get("AWS_PROFILE", "default")
    keys = _section(os.environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials"), profile)
    section = profile if profile == "default" else f"profile {profile}"
    settings = _section(os.environ.get("AWS_CONFIG_FILE", home / "config"), section)
    config: dict[str, str] = {}
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & set(os.environ) and "region" in settings:
        config["region"] = settings["region"]
    if "AWS_ACCESS_KEY_ID" not in os.environ and "aws_access_key_id" in keys:
        names = ("access_key_id", "secret_access_key", "session_token")
        config |= {name: keys[f"aws_{name}"] for name in names if f"aws_{name}" in keys}
    return config


def _section(path: str | Path, name: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (ConfigError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read ({type(error).__name__}): correct it") from error
    return dict(parser[name]) if parser.has_section(name) else {}


def _meaning(error: Exception, url: str) -> str:
    """Return in one line what an error means, and what to do."""
    scheme, bucket, _ = _parted(url)
    cloud, about, name = CLOUDS[scheme], _about(error), type(error).__name__
    if about == "bucket" or isinstance(error, FileNotFoundError):
        return f"{url}: there is no bucket {bucket!r} in {cloud}: check its name and the endpoint"
    if about == "credentials" or name == "UnauthenticatedError":
        return (
            f"{url}: credentials for {cloud} are missing, wrong or expired; they are looked for "
            f"in {CREDENTIALS[cloud]}"
        )
    if about == "rights" or name == "PermissionDeniedError":
        return (
            f"{url}: the credentials may not list or read this bucket of {cloud}; they were found "
            f"in {CREDENTIALS[cloud]}"
        )
    if about == "network":
        return (
            f"{url}: {cloud} cannot be reached, or the connection broke; check the network and "
            "any endpoint in the environment (such as AWS_ENDPOINT_URL), and run this again"
        )
    return f"{url}: {cloud} refused: {_said(error)[:300]}"


def _about(error: Exception) -> str:
    """Return what is at fault: "bucket", "rights", "credentials" or "network"; "" where unknown."""
    said = _said(error)
    code = re.search(r"<Code>(\w+)</Code>", said)
    if code and code[1] in CODES:
        return CODES[code[1]]
    return next((about for phrase, about in PHRASES.items() if phrase in said), "")


def _said(error: Exception) -> str:
    """Return the first line of an error of obstore; what it was made of follows behind."""
    return " ".join(str(error).partition("Debug source")[0].split())
