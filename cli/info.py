"""`clipcache info CACHE`."""

from typing import TYPE_CHECKING

import click

from .options import cache_argument, json_option

if TYPE_CHECKING:
    from clipcache.images.roots import Place


@click.command()
@cache_argument
@json_option
def command(cache: "Place", as_json: bool) -> None:
    """Say what is in CACHE: encoder, images, labels, what failed and why."""
    from clipcache.cache.info import describe
    from clipcache.cache.reader import EmbeddingCache

    from .output import print_json, print_pairs

    info = describe(EmbeddingCache.open(cache))
    print_json(info) if as_json else print_pairs(info)
