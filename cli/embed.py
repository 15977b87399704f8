"""`clipcache embed SOURCE CACHE`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import (
    batch_size_option,
    cache_argument,
    encoder_device_option,
    json_option,
    path_column_option,
    path_pattern_option,
    root_option,
    workers_option,
)

if TYPE_CHECKING:
    from clipcache.images.roots import Place


@click.command()
@click.argument("source")
@cache_argument
@root_option
@path_column_option
@path_pattern_option
@click.option(
    "--label-column",
    help="Table or Parquet: the column with the class name; where it is empty, an image is "
    "unlabelled.",
)
@click.option("--exclude-label", multiple=True, help="Leave this class out. Repeatable.")
@click.option("--top-classes", type=click.IntRange(1), help="Keep the N most frequent classes.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="File with all class names, one a line; numbers in .tar and .parquet files count in it.",
)
@click.option(
    "--split",
    metavar="none|random:SHARE|folder|column:NAME",
    help="What is held out to measure accuracy: nothing; a random share of the labelled images; "
    "what lies in a first-level folder called test, or in files called test-00000-of-00001; "
    "what a column of a table or Parquet says.  "
    "[none]",
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
    help="Any model of open_clip, the built-in clipcache-tiny, or as in timm:resnet50 one of timm, "
    "which knows no words.",
)
@click.option(
    "--pretrained",
    help="A tag of the hub, a checkpoint file, or random.  [ViT-B-32: laion2b_s34b_b79k]",
)
@encoder_device_option
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16", "auto"]),
    default="float32",
    show_default=True,
    help="What the network computes in. Less than float32 is refused where vectors change by it; "
    "auto takes less where the hardware is faster with it and vectors stay the same.",
)
@click.option(
    "--fast-decode",
    is_flag=True,
    help="Decode and scale images faster, which makes slightly other vectors.",
)
@click.option(
    "--compile", "compiled", is_flag=True, help="Compile the network, which takes a minute."
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
@click.option(
    "--engine",
    type=click.Choice(["inline", "processes", "ray"]),
    default="inline",
    show_default=True,
    help="Who encodes: this process; several, one for each GPU or processor; or a Ray cluster, "
    "that of RAY_ADDRESS or one on this machine.",
)
@click.option("--processes", type=click.IntRange(1), help="How many, where --engine has several.")
@click.option(
    "--shard",
    metavar="I/N",
    help="Do only each N-th chunk, from the I-th on (0 to N-1): N of these, on whatever machines, "
    "do it all.",
)
@json_option
def command(
    source: str,
    cache: "Place",
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
    precision: str,
    fast_decode: bool,
    compiled: bool,
    batch_size: int,
    workers: int,
    chunk_rows: int,
    strict: bool,
    engine: str,
    processes: int | None,
    shard: str | None,
    as_json: bool,
) -> None:
    """Encode the images of SOURCE once, into CACHE.

    SOURCE is a folder of images (its sub-folders are the classes); a .csv or .tsv table of paths or
    web addresses; a .txt with one web address a line; a .tar as webdataset writes it, or a folder
    of them; a .parquet with a column of image bytes, as of Hugging Face, or a folder of them. All
    but web addresses may be in a bucket: s3://bucket/prefix, gs:// (gcs://) or az:// (abfs://).
    Run it again after a crash, or when images came or changed: only what is missing is encoded.
    """
    from clipcache.images.source import SourceOptions, open_source

    from .output import (
        embed_progress,
        print_embedded,
        print_json,
        say_precision,
        warn_if_random,
    )

    held_out = "none" if split is None else split
    columns = (root, path_column, path_pattern, label_column)
    images = open_source(
        source, SourceOptions(*columns, exclude_label, top_classes, labels, held_out)
    )
    with embed_progress(cache) as progress:
        from clipcache.cache.locks import WHOLE, Share
        from clipcache.embed import EmbedOptions, embed
        from clipcache.encoders.options import EncoderOptions, load_encoder
        from clipcache.engines.choose import make_engine
        from clipcache.text import DEFAULT_TEMPLATES

        asked = EncoderOptions(model, pretrained, device, precision, fast_decode, compiled)
        encoder = load_encoder(asked)
        warn_if_random(encoder.identity)
        say_precision(encoder.identity)
        how = (template or DEFAULT_TEMPLATES, batch_size, workers, chunk_rows, strict)
        share = Share.parse(shard) if shard else WHOLE
        options = EmbedOptions(*how, keep_held_out=split is None, share=share)
        chosen = make_engine(engine, asked.settled(encoder.identity), processes)
        summary = embed(images, encoder, cache, options, progress, engine=chosen)
    print_json(summary) if as_json else print_embedded(summary, cache)
