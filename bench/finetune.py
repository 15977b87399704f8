"""Whether fine-tuning the encoder is worth its time, against a head on vectors that stay.

    python bench/finetune.py PHOTOS [--label-column label ...] [--labels 120 --labels 220]

The images are embedded once, then so many random ones of the pool are labelled, and everything
after that is measured on the same held-out images: the default head on the cache, the same head
with the same labels on a cache of the fine-tuned encoder, and the head that was trained with it.
Seconds are those of everything that comes after the labels: *head* is one fit, *fine-tuned* is
reading the labelled images, training, embedding all images anew, and the fit.

Without PHOTOS, the demo's pool is drawn.
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import click
import torch

from clipcache.cache.reader import EmbeddingCache
from clipcache.classifier.lesson import Lesson
from clipcache.demo import draw_images
from clipcache.embed import EmbedOptions, embed
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.finetune.finetune import FinetuneOptions, finetune
from clipcache.finetune.tower import Tune
from clipcache.finetune.tune import TuneOptions
from clipcache.images.source import SourceOptions, open_source
from clipcache.loop import replay
from clipcache.run import Run
from clipcache.run_config import RunConfig

DEMO = SourceOptions(split="folder")


def measure(
    cache: Path, root: Path, labels: int, options: FinetuneOptions, seed: int, folder: Path
) -> dict[str, Any]:
    """Return what head and fine-tuning make of so many random labels."""
    config = RunConfig("random", init=f"random:{labels}", rounds=0, seed=seed)
    run = Run.begin(folder / "run", config, EmbeddingCache.open(cache))
    replay(run)
    began = perf_counter()
    Lesson.of(run).fit()
    head_seconds = perf_counter() - began
    tuned = finetune(run, root, folder / "tuned.safetensors", options, cache=folder / "tuned.zarr")
    run.store.close()
    return {"labels": labels, "seed": seed, "head_seconds": head_seconds, **vars(tuned)}


@click.command()
@click.argument("photos", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--root", type=click.Path(path_type=Path), help="Where the paths of a table begin.")
@click.option("--path-column", default="path")
@click.option("--path-pattern", default="{}")
@click.option("--label-column")
@click.option("--exclude-label", multiple=True)
@click.option("--split", default="random:0.3", show_default=True)
@click.option("--model", default="clipcache-tiny", show_default=True)
@click.option("--pretrained")
@click.option("--labels", type=int, multiple=True, default=(120, 220, 500), show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True)
@click.option("--tune", default="all", show_default=True)
@click.option("--epochs", default=TuneOptions().epochs, show_default=True)
@click.option("--rate", type=float)
@click.option("--wise", type=float)
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def main(
    photos: Path | None,
    root: Path | None,
    path_column: str,
    path_pattern: str,
    label_column: str | None,
    exclude_label: tuple[str, ...],
    split: str,
    model: str,
    pretrained: str | None,
    labels: tuple[int, ...],
    seeds: int,
    tune: str,
    epochs: int,
    rate: float | None,
    wise: float | None,
    threads: int,
    as_json: bool,
) -> None:
    """Hold a head on frozen vectors against fine-tuning, on the images of PHOTOS."""
    torch.set_num_threads(threads)
    how = TuneOptions(Tune.parse(tune), epochs, rate=rate, alpha=wise)
    found = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        options = SourceOptions(
            root, path_column, path_pattern, label_column, exclude_label, split=split
        )
        if photos is None:
            photos, options = folder / "images", DEMO
            draw_images(photos)
        encoder = load_encoder(EncoderOptions(model, pretrained))
        embed(open_source(photos, options), encoder, folder / "cache.zarr", EmbedOptions())
        base = root or (photos.parent if photos.is_file() else photos)
        for count in labels:
            for seed in range(seeds):
                place = folder / f"{count}-{seed}"
                place.mkdir()
                seeded = FinetuneOptions(replace(how, seed=seed), pretrained)
                found.append(measure(folder / "cache.zarr", base, count, seeded, seed, place))
                if not as_json:
                    click.echo(_line(found[-1]))
    if as_json:
        click.echo(json.dumps(found, indent=2, default=asdict))


def _line(one: dict[str, Any]) -> str:
    before, after, own, tuning = (one[name] for name in ("before", "after", "own", "tuning"))
    seconds = one["seconds"]
    spent = sum(seconds[name] for name in ("read", "train", "write", "embed"))
    return (
        f"{one['labels']:4d} labels, seed {one['seed']}, {one['test']} test images: top-1 "
        f"head {100 * before.top1:.1f}, fine-tuned {100 * after.top1:.1f}, its own head "
        f"{100 * own.top1:.1f}; top-5 {100 * before.top5:.1f}, {100 * after.top5:.1f}, "
        f"{100 * own.top5:.1f}; seconds: head {one['head_seconds']:.2f}, fine-tuned {spent:.1f} "
        f"(train {seconds['train']:.1f}, embed {seconds['embed']:.1f}); {tuning.trained.steps} "
        f"steps, best epoch {tuning.trained.best_epoch}, alpha {tuning.alpha:g}"
    )


if __name__ == "__main__":
    main()
