"""`clipcache label-studio push|pull|sync|backend RUN`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import NumberRange, json_option

if TYPE_CHECKING:
    from clipcache.label_studio.client import LabelStudio
    from clipcache.label_studio.sync import Synced

run_argument = click.argument("run", type=click.Path(path_type=Path))
url_option = click.option(
    "--url", help="Address of the Label Studio; needed the first time, as http://localhost:8080."
)
project_option = click.option(
    "--project",
    help="Number of a project, or a title; a new title makes a project. Needed the first time.",
)
token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the token.  [the environment variable LABEL_STUDIO_API_KEY]",
)
image_url_option = click.option(
    "--image-url",
    help="Where browsers find the images: https://host/{key}, or {row}; or the address of "
    "`clipcache label-studio backend`.  [as the last time; at first http://127.0.0.1:9090]",
)


@click.group()
def command() -> None:
    """Label in Label Studio: the batch of RUN goes there, answers come back.

    The token comes from the environment variable LABEL_STUDIO_API_KEY, or a file: a personal
    access token, or a legacy one. `push` says where to label; then `sync` after every batch, or
    `backend`, which does it by itself.
    """


@command.command()
@run_argument
@url_option
@project_option
@token_option
@image_url_option
@json_option
def push(
    run: Path,
    url: str | None,
    project: str | None,
    token_file: Path | None,
    image_url: str | None,
    as_json: bool,
) -> None:
    """Put the open batch of RUN into a project, with what the model says about each image.

    Pushing again makes nothing twice. Only the batch is pushed, never the pool.
    """
    from clipcache.label_studio.link import open_run
    from clipcache.label_studio.push import push as to_label_studio

    opened = open_run(run)
    with _studio(run, url, token_file) as studio:
        _print(to_label_studio(opened, studio, project, image_url), as_json)


@command.command()
@run_argument
@url_option
@project_option
@token_option
@json_option
def pull(
    run: Path, url: str | None, project: str | None, token_file: Path | None, as_json: bool
) -> None:
    """Record what people said in the project of RUN.

    Changed annotations count anew, deleted ones no longer; pulling again changes nothing.
    """
    from clipcache.label_studio.link import open_run
    from clipcache.label_studio.pull import pull as from_label_studio

    opened = open_run(run)
    with _studio(run, url, token_file) as studio:
        _print(from_label_studio(opened, studio, project), as_json)


@command.command()
@run_argument
@url_option
@project_option
@token_option
@image_url_option
@click.option("--watch", type=NumberRange(1), metavar="SECONDS", help="Do it again, until Ctrl-C.")
@json_option
def sync(
    run: Path,
    url: str | None,
    project: str | None,
    token_file: Path | None,
    image_url: str | None,
    watch: float | None,
    as_json: bool,
) -> None:
    """Pull, fit and choose the next batch where the last one is nearly labelled, and push."""
    from clipcache.label_studio.link import open_run
    from clipcache.label_studio.sync import sync as both_ways
    from clipcache.label_studio.sync import watch as again_and_again

    opened = open_run(run)
    with _studio(run, url, token_file) as studio:

        def once() -> "Synced":
            return both_ways(opened, studio, project, image_url)

        if watch:
            again_and_again(once, watch, on_sync=lambda done: _print(done, as_json), say=_complain)
        else:
            _print(once(), as_json)


@command.command()
@run_argument
@click.option(
    "--images",
    help="Where the images of RUN's cache lie, as for label: a folder, files, a table, a URL.  "
    "[what was given last]",
)
@url_option
@project_option
@token_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=9090, show_default=True, help="0 for any."
)
@click.option(
    "--public-url",
    help="Where Label Studio and its annotators reach this server; needed where it listens on "
    "every address.  [http://HOST:PORT]",
)
@json_option
def backend(
    run: Path,
    images: str | None,
    url: str | None,
    project: str | None,
    token_file: Path | None,
    host: str,
    port: int,
    public_url: str | None,
    as_json: bool,
) -> None:
    """Serve images and predictions of RUN to Label Studio, and keep both in step.

    It registers itself with the project, pulls when somebody has annotated, fits in the background
    and pushes the next batch. A Label Studio that is to call a backend of its own machine must be
    started with SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false.
    """
    from clipcache.label_studio.link import open_run
    from clipcache.label_studio.serving import found_at, serve_backend
    from clipcache.people import photos_of
    from clipcache.web.server import listen

    from .output import warn_of_network

    warn_of_network(host)
    opened = open_run(run)
    photos = photos_of(opened, images)
    with listen(host, port) as listening, _studio(run, url, token_file) as studio:
        here = public_url or found_at(listening)
        click.echo(f"backend at {here}, Ctrl-C ends it", err=True)
        serve_backend(
            opened,
            studio,
            project,
            photos,
            listening=listening,
            public_url=here,
            on_sync=lambda done: _print(done, as_json),
            say=_complain,
        )


def _studio(folder: Path, url: str | None, token_file: Path | None) -> "LabelStudio":
    from clipcache.label_studio.client import LabelStudio
    from clipcache.label_studio.link import server_of
    from clipcache.label_studio.token import read_token

    return LabelStudio(server_of(folder, url), read_token(token_file))


def _print(done: Any, as_json: bool) -> None:
    from dataclasses import asdict

    from .output import print_json, print_pairs

    print_json(done) if as_json else print_pairs(asdict(done))


def _complain(why: str) -> None:
    click.echo(f"error: {why}", err=True)
