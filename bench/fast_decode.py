"""How much faster --fast-decode prepares images on one processor, and what that does to vectors.

python bench/fast_decode.py PHOTOS [--model clipcache-tiny]

Each image goes both ways, one after the other, so that what else the machine does hits both alike.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from itertools import islice
from pathlib import Path
from time import thread_time

import click
import numpy as np
import torch

from clipcache.encoders.base import Encoder
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.images.folder import Folder


def measure(photos: Path, count: int, encoders: list[Encoder]) -> tuple[list[float], np.ndarray]:
    """Return seconds an image for each of two encoders, and the cosines of their vectors."""
    source = Folder(photos)
    data = [source.read(item.key) for item in islice(source, count)]
    seconds = [0.0 for _ in encoders]
    pixels: list[list[np.ndarray]] = [[] for _ in encoders]
    for one in data:
        for place, encoder in enumerate(encoders):
            began = thread_time()
            pixels[place].append(encoder.prepare(one))
            seconds[place] += thread_time() - began
    a, b = (
        np.concatenate(
            [encoder.encode_images(np.stack(p[i : i + 64])) for i in range(0, len(p), 64)]
        )
        for encoder, p in zip(encoders, pixels, strict=True)
    )
    return [total / len(data) for total in seconds], (a * b).sum(axis=1)


@click.command()
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="clipcache-tiny", show_default=True)
@click.option("--pretrained")
@click.option("--count", default=500, show_default=True)
def main(photos: Path, model: str, pretrained: str | None, count: int) -> None:
    """Print images a second each way, their ratio, and the cosines."""
    torch.set_num_threads(1)
    usual, fast = (
        load_encoder(EncoderOptions(model, pretrained, "cpu", fast_decode=fast))
        for fast in (False, True)
    )
    (slow, quick), cosines = measure(photos, count, [usual, fast])
    click.echo(f"usual {1 / slow:,.0f} images/s, fast {1 / quick:,.0f}, {slow / quick:.1f} times")
    click.echo(
        f"cosine {cosines.mean():.5f} on average, {np.percentile(cosines, 1):.5f} for 1 of 100, "
        f"{cosines.min():.5f} at least"
    )


if __name__ == "__main__":
    main()
