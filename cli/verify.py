"""`clipcache verify CACHE`."""

import sys
from typing import TYPE_CHECKING

import click

from .options import cache_argument, json_option

if TYPE_CHECKING:
    from clipcache.images.roots import Place


@click.command()
@cache_argument
@json_option
def command(cache: "Place", as_json: bool) -> None:
    """Re-hash every finished chunk of CACHE; name what is damaged and exit 1 if anything is."""
    from clipcache.cache.reader import EmbeddingCache

    from .output import print_json

    opened = EmbeddingCache.open(cache, anew=True)
    damage = list(opened.damage())
    checked = int((opened.finished_rows("result") > 0).sum())
    if as_json:
        print_json({"chunks": opened.chunks, "checked": checked, "damage": damage})
    else:
        for line in damage:
            click.echo(f"damaged: {line}")
        click.echo(f"{checked} of {opened.chunks} chunks are finished, {len(damage)} damaged")
    sys.exit(1 if damage else 0)
