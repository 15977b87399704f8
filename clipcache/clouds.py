"""Whose bucket a URL names, with which credentials it is opened, and what a refusal means.

The buckets are those of S3, Google Cloud Storage and Azure, reached through obstore, an optional
download.

Credentials, regions and endpoints come from where each cloud's own programs look for them, never
from a URL, which would end up in run folders and caches. Every request has a timeout and is tried a
bounded number of times; what is wrong then is told in one line.
"""

import os
import re
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

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

TIMEOUT = "300s"
"""For a whole answer, which may be a group of rows of a gigabyte."""
RETRY = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}

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
    "RequestTimeTooSkewed": "clock",
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


def is_object_url(text: str) -> bool:
    """Tell whether the text is a URL of something in a bucket.

    >>> is_object_url("s3://photos/2024"), is_object_url("photos/2024")
    (True, False)
    """
    scheme, mark, _ = text.partition("://")
    return bool(mark) and scheme.lower() in CLOUDS


def open_store(url: str, *, timeout: str = TIMEOUT) -> Any:
    """Return obstore's store of the bucket in `url`, rooted at the prefix that the URL names.

    `timeout` is how long a whole answer may take, as in "15s". Nothing is asked of the cloud yet.
    Raises SourceError where the URL names no bucket, or obstore is not installed.
    """
    scheme, bucket, prefix = _parted(url)
    need_obstore(url)
    from obstore import store as stores
    from obstore.exceptions import BaseError

    how: dict[str, Any] = {"prefix": prefix or None, "retry_config": RETRY}
    how["client_options"] = {"connect_timeout": "5s", "timeout": timeout}
    if _plain_http():
        how["client_options"]["allow_http"] = True
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


async def put_at_once(store: Any, key: str, data: Any) -> None:
    """Put an object in one request: of parts a kill leaves some, which are billed and not seen."""
    import obstore

    await obstore.put_async(store, key, data, use_multipart=False)


def refuse(error: Exception, url: str) -> NoReturn:
    """Raise SourceError saying in one line what an error of obstore about `url` means."""
    raise SourceError(_meaning(error, url)) from error


@contextmanager
def told(url: str) -> Iterator[None]:
    """Tell in one line what goes wrong with `url` inside, but for what is not there."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if about(error) == "bucket":
            refuse(error, url)
        raise
    except BaseError as error:
        refuse(error, url)


def need_obstore(url: str) -> None:
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


def _plain_http() -> bool:
    """Tell whether the environment names an endpoint without TLS, as test servers are."""
    amazon = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    names = (*amazon, "AZURE_ENDPOINT", "GOOGLE_BASE_URL")
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
    cloud, fault, name = CLOUDS[scheme], about(error), type(error).__name__
    if fault == "bucket" or isinstance(error, FileNotFoundError):
        return f"{url}: there is no bucket {bucket!r} in {cloud}: check its name and the endpoint"
    if fault == "credentials" or name == "UnauthenticatedError":
        return (
            f"{url}: credentials for {cloud} are missing, wrong or expired; they are looked for "
            f"in {CREDENTIALS[cloud]}"
        )
    if fault == "clock":
        return f"{url}: {cloud} finds the clock of this machine wrong: set it, and run this again"
    if fault == "rights" or name == "PermissionDeniedError":
        return (
            f"{url}: the credentials may not list or read this bucket of {cloud}; they were found "
            f"in {CREDENTIALS[cloud]}"
        )
    if name == "InvalidPathError":
        return (
            f"{url}: an object there has a name that cannot be used ({_said(error)[:200]}): rename "
            "or delete it, or name a longer prefix"
        )
    if fault == "network":
        return (
            f"{url}: {cloud} cannot be reached, or the connection broke; check the network and "
            "any endpoint in the environment (such as AWS_ENDPOINT_URL), and run this again"
        )
    return f"{url}: {cloud} refused: {_said(error)[:300]}"


def about(error: Exception) -> str:
    """Return what is at fault, a value of CODES or PHRASES; "" where unknown."""
    said = _said(error)
    code = re.search(r"<Code>(\w+)</Code>", said)
    if code and code[1] in CODES:
        return CODES[code[1]]
    return next((fault for phrase, fault in PHRASES.items() if phrase in said), "")


def _said(error: Exception) -> str:
    """Return the first line of an error of obstore; what it was made of follows behind."""
    return " ".join(str(error).partition("Debug source")[0].split())
