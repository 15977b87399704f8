"""`clipcache search CACHE WORDS`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import cache_argument, encoder_device_option, json_option, pretrained_option

if TYPE_CHECKING:
    from clipcache.images.roots import Place


@click.command()
@cache_argument
@click.argument("words", required=False)
@click.option(
    "--image",
    "photos",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Find what looks like this photo. Repeatable; all that is given is averaged.",
)
@click.option("--row", "like", multiple=True, type=int, help="Find what looks like this row.")
@click.option("--key", "keys", multiple=True, help="Find what looks like the image of this key.")
@click.option(
    "--top", type=click.IntRange(1), default=20, show_default=True, help="Images to find."
)
@pretrained_option
@encoder_device_option
@json_option
def command(
    cache: "Place",
    words: str | None,
    photos: tuple[Path, ...],
    like: tuple[int, ...],
    keys: tuple[str, ...],
    top: int,
    pretrained: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Find images in CACHE by WORDS such as "red dress", or by an example.

    All images are compared, also those that are held out. A class that is too rare to turn up by
    itself is found this way.
    """
    if not (words or photos or like or keys):
        raise click.UsageError("nothing to search for: give words, --image, --row or --key")
    from clipcache.cache.reader import EmbeddingCache
    from clipcache.search import find, row_of

    from .output import print_json
    from .tables import print_table

    opened = EmbeddingCache.open(cache)
    found = find(
        opened,
        words,
        photos=photos,
        like=[*like, *(row_of(opened, key) for key in keys)],
        top=top,
        pretrained=pretrained,
        device=device,
    )
    if as_json:
        print_json(found)
    else:
        lines = ((f.row, f.cosine, f.label, f.split, f.key) for f in found)
        print_table(("row", "cosine", "label", "split", "key"), lines)
