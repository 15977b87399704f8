"""`clipcache export RUN`."""

from pathlib import Path

import click

from clipcache import registry

from .options import json_option, pretrained_option

FORMATS = {name.replace("_", "-"): name for name in registry.names("export")}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    required=True,
    help="csv, json, label-studio, coco: labels. head: the classifier of vectors, as safetensors. "
    "onnx: image tower and head, from pixels to probabilities.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write.")
@click.option(
    "--image-url",
    help="coco, label-studio: the address of an image, as https://host/{key}, or with {row}.  "
    "[coco: its bare key]",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="onnx: a folder of photos to check the network on, beside random images.",
)
@pretrained_option
@json_option
def command(
    run: Path,
    form: str,
    out: Path,
    image_url: str | None,
    images: Path | None,
    pretrained: str | None,
    as_json: bool,
) -> None:
    """Write the labels of RUN, or the classifier that they make, to a file."""
    from clipcache.export.base import ExportOptions, export_as
    from clipcache.run import Run

    from .output import print_json

    options = ExportOptions(image_url, images, pretrained)
    said = export_as(FORMATS[form], Run.open(run), out, options)
    if as_json:
        print_json({"run": str(run), "format": form, "out": str(out), "says": said})
    else:
        click.echo(f"{out}: {said}")
