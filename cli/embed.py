"""`clipcache embed SOURCE CACHE`."""

from pathlib import Path

import click

from .options import (
    batch_size_option,
    cache_argument,
    json_option,
    path_column_option,
    path_pattern_option,
    root_option,
    workers_option,
)


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@cache_argument
@root_option
@path_column_option
@path_pattern_option
@click.option(
    "--label-column",
    help="Table: the column with the class name; an empty cell is an unlabelled image.",
)
@click.option("--exclude-label", multiple=True, help="Leave this class out. Repeatable.")
@click.option("--top-classes", type=click.IntRange(1), help="Keep the N most frequent classes.")
@click.option(
    "--labels", type=click.Path(path_type=Path), help="File with all class names, one a line."
)
@click.option(
    "--split",
    metavar="none|random:SHARE|folder|column:NAME",
    help="What is held out to measure accuracy: nothing; a random share of the labelled images; "
    "what lies in a first-level folder called test; what a column of the table says.  [none]",
)
@click.option(
    "--template",
    multiple=True,
    help="Prompt with {} for the class name; several are averaged.  [a photo of a {}.]",
)
@click.option(
    "--model",
    default="ViT-B-32",
    show_default=True,
    help="Any model of open_clip, or the built-in clipcache-tiny.",
)
@click.option(
    "--pretrained",
    help="A tag of the hub, a checkpoint file, or random.  [ViT-B-32: laion2b_s34b_b79k]",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Auto takes CUDA where there is one.",
)
@batch_size_option
@workers_option
@click.option(
    "--chunk-rows",
    type=click.IntRange(1),
    default=8192,
    show_default=True,
    help="New cache: images a chunk, which is what a crash can cost.",
)
@click.option("--strict", is_flag=True, help="Stop at the first image that cannot be used.")
@json_option
def command(
    source: Path,
    cache: Path,
    root: Path | None,
    path_column: str,
    path_pattern: str,
    label_column: str | None,
    exclude_label: tuple[str, ...],
    top_classes: int | None,
    labels: Path | None,
    split: str | None,
    template: tuple[str, ...],
    model: str,
    pretrained: str | None,
    device: str,
    batch_size: int,
    workers: int,
    chunk_rows: int,
    strict: bool,
    as_json: bool,
) -> None:
    """Encode the images of SOURCE once, into CACHE.

    SOURCE is a folder (its sub-folders are the classes) or a .csv or .tsv table. Run it again after
    a crash, or when images came or changed: only what is missing is encoded.
    """
    from clipcache.images.source import SourceOptions, open_source

    from .output import embed_progress, print_embedded, print_json, warn_if_random

    held_out = "none" if split is None else split
    columns = (root, path_column, path_pattern, label_column)
    images = open_source(
        source, SourceOptions(*columns, exclude_label, top_classes, labels, held_out)
    )
    with embed_progress(cache) as progress:
        from clipcache.embed import EmbedOptions, embed
        from clipcache.encoders.openclip import OpenClip
        from clipcache.text import DEFAULT_TEMPLATES

        encoder = OpenClip.load(model, pretrained, device=device)
        warn_if_random(encoder.identity)
        how = (template or DEFAULT_TEMPLATES, batch_size, workers, chunk_rows, strict)
        options = EmbedOptions(*how, keep_held_out=split is None)
        summary = embed(images, encoder, cache, options, progress)
    print_json(summary) if as_json else print_embedded(summary, cache)
