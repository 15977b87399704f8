"""`clipcache label RUN`."""

from pathlib import Path
from typing import Any

import click

from .options import (
    PLACE,
    batch_option,
    device_option,
    engine_option,
    head_option,
    json_option,
    stop_option,
    strategy_option,
)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--cache", type=PLACE, help="New run: the cache to label.")
@click.option(
    "--images",
    help="Where the images of the cache lie, as for embed: a folder, .tar or .parquet files, a "
    "table or list of web addresses, or a URL of these.  [what was given last]",
)
@click.option(
    "--classes",
    type=click.Path(path_type=Path),
    help="New run: a file with class names, one a line, beside those that the cache has.",
)
@strategy_option
@head_option
@batch_option
@click.option(
    "--init", default="kmeans", show_default=True, help="New run: the first images, as for loop."
)
@click.option("--subsample", type=click.IntRange(1), help="Score only N random images a round.")
@click.option("--rounds", type=click.IntRange(1), help="End after N rounds.  [when people do]")
@click.option("--seed", type=click.IntRange(0), default=0, help="Decides every random choice.")
@click.option(
    "--held-out",
    type=click.IntRange(0),
    help="New run: so many random images are labelled first to measure accuracy on, and teach "
    "nothing.  [50, or 0 where the cache has labelled test images]",
)
@click.option(
    "--per-image",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many people look at each image.",
)
@click.option(
    "--relabel", is_flag=True, help="New run: ask about images whose label the cache knows, too."
)
@stop_option
@device_option
@engine_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8600, show_default=True, help="0 for any."
)
@click.option(
    "--public-url",
    help="The address by which browsers reach the page, where a proxy with TLS is before it, such "
    "as https://label.example.org.",
)
@click.option("--only-begin", is_flag=True, help="Make RUN, for Label Studio, and serve no page.")
@json_option
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Label images with other people, on a page in the browser; everything is kept in RUN.

    The first time, --cache says what is labelled. Later `clipcache label RUN` is enough: it goes on
    where it was. Open the address that is printed, and send it to those who help.
    """
    from clipcache.images.names import read_names
    from clipcache.people import images_place, only_desk, open_run, photos_of

    from .output import print_json

    folder: Path = given["run"]
    names = read_names(given["classes"]) if given["classes"] else ()
    options = _options(context, given)
    shown = given["images"] is not None or not given["only_begin"]
    if given["cache"] and shown:
        images_place(folder, given["images"])  # before a run is begun that could not be shown
    scored = {"device": given["device"], "engine": given["engine"]}
    run = open_run(folder, given["cache"], names, **scored, **options)
    if given["only_begin"]:
        if shown:
            photos_of(run, given["images"])  # which is remembered, for whoever shows them
        facts = {"run": str(folder), "images": len(run.pool), "classes": list(run.names)}
        print_json(facts) if given["as_json"] else click.echo(f"begun: {folder}")
        return
    with only_desk(folder):
        _serve(folder, run, photos_of(run, given["images"]), given)


ADVICE = "put a proxy with TLS before it, and give its address as --public-url"
RUN_OPTIONS = (
    "strategy",
    "head",
    "batch",
    "init",
    "subsample",
    "rounds",
    "seed",
    "held_out",
    "per_image",
    "stop",
)


def _options(context: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a RunConfig that were given: a run that is there keeps the others."""
    default = click.core.ParameterSource.DEFAULT
    options = {n: given[n] for n in RUN_OPTIONS if context.get_parameter_source(n) != default}
    return options | ({"asks": "all"} if given["relabel"] else {})


def _serve(folder: Path, run: Any, photos: Any, given: dict[str, Any]) -> None:
    from clipcache.desk import Desk
    from clipcache.web.app import make_app
    from clipcache.web.security import hosts_of, origin_of
    from clipcache.web.server import address_of, listen, serve
    from clipcache.web.token import read_token

    from .output import print_json, warn_of_network

    origin = origin_of(given["public_url"]) if given["public_url"] is not None else None
    if origin is None or origin.startswith("http:"):
        warn_of_network(given["host"], ADVICE)
    token = read_token(folder)
    listening = listen(given["host"], given["port"])
    desk = Desk(run)
    hosts = hosts_of(given["host"])
    app = make_app(desk, photos, token=token, hosts=hosts, title=folder.name, origin=origin)
    address = address_of(listening, token, origin)

    def ready() -> None:
        if given["as_json"]:
            print_json({"run": str(folder), "images": len(run.pool), "address": address})
        else:
            click.echo(f"{len(run.pool):,} images to label. Open {address}\nCtrl-C ends.")

    try:
        serve(app, listening, ready)
    finally:
        labels = desk.status().labels
        desk.close()
        run.store.close()
    click.echo(f"{labels:,} images labelled so far; `clipcache label {folder}` goes on", err=True)
