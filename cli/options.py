"""Options and arguments that several commands share."""

from pathlib import Path

import click

from clipcache import registry

cache_argument = click.argument("cache", type=click.Path(path_type=Path))
strategy_option = click.option(
    "--strategy",
    type=click.Choice(registry.names("strategies")),
    default="default",
    show_default=True,
    help="What makes an image worth a label.",
)
head_option = click.option(
    "--head",
    type=click.Choice(registry.names("heads")),
    default="auto",
    show_default=True,
    help="What turns vectors into classes.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cpu",
    show_default=True,
    help="Where the pool is scored; the same images are chosen.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
