"""`clipcache import FEATURES CACHE`; `import.py` could not be imported by its name."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import NumberRange, cache_argument, json_option

if TYPE_CHECKING:
    from clipcache.images.roots import Place


@click.command()
@click.argument("features", type=click.Path(path_type=Path))
@cache_argument
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help=".npy: one label a row: a .npy of integers, -1 unknown, or class names in lines of text.",
)
@click.option(
    "--names",
    type=click.Path(path_type=Path),
    help=".npy, folder: file with all class names, one a line; integers count in it.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    help=".npy: file with what each row is called, one a line.  [row numbers]",
)
@click.option(
    "--split",
    metavar="none|random:SHARE",
    help=".npy, folder: what is held out to measure accuracy: nothing, or a random share of the "
    "labelled rows.  [none]",
)
@click.option(
    "--key-column",
    default="image_path",
    show_default=True,
    help="Folder: the column with what each row is called.",
)
@click.option(
    "--label-column",
    help="Folder: the column with class names or integers; an empty cell is an unlabelled row.",
)
@click.option(
    "--model",
    default="unknown",
    show_default=True,
    help="The encoder that made the vectors, in your words.",
)
@click.option(
    "--logit-scale",
    type=NumberRange(0, min_open=True),
    default=100.0,
    show_default=True,
    help="The encoder's factor from cosine to logit, for text vectors.",
)
@click.option(
    "--chunk-rows",
    type=click.IntRange(1),
    default=8192,
    show_default=True,
    help="New cache: rows a chunk, which is what a crash can cost.",
)
@click.option("--strict", is_flag=True, help="Stop at the first row that cannot be used.")
@json_option
def command(
    features: Path,
    cache: "Place",
    labels: Path | None,
    names: Path | None,
    keys: Path | None,
    split: str | None,
    key_column: str,
    label_column: str | None,
    model: str,
    logit_scale: float,
    chunk_rows: int,
    strict: bool,
    as_json: bool,
) -> None:
    """Bring embeddings made elsewhere, FEATURES, into CACHE.

    FEATURES is a .npz file (pool_x, pool_y, test_x, test_y, class_names, perhaps text_x), a .npy
    file of vectors, or a folder that clip-retrieval wrote. Rows are brought to length 1. Run it
    again after a crash, or when labels changed.
    """
    from clipcache.import_features import ImportOptions, import_features
    from clipcache.vectors.source import VectorOptions, open_vectors

    from .output import embed_progress, print_embedded, print_json

    held_out = "none" if split is None else split
    found = open_vectors(
        features, VectorOptions(labels, names, keys, held_out, key_column, label_column)
    )
    options = ImportOptions(model, logit_scale, chunk_rows, strict, keep_held_out=split is None)
    with embed_progress(cache) as progress:
        summary = import_features(found, cache, options, progress)
    print_json(summary) if as_json else print_embedded(summary, cache)
