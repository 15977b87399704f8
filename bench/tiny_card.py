"""The figures of clipcache-tiny's card: what it does on pictures that it has never seen.

`python bench/tiny_card.py` prints them. Zero-shot is what the class names alone achieve, the probe
is what the image features know once labels say which class is which; the distance between the two
is what active learning can win.
"""

import json
import time
from pathlib import Path

import click
import numpy as np

from clipcache.arrays import Labels, Vectors
from clipcache.encoders.openclip import TINY, OpenClip
from clipcache.encoders.options import EncoderOptions
from clipcache.heads.linear import Linear
from clipcache.heads.zero_shot import ZeroShot
from clipcache.metrics import top_k_accuracy
from clipcache.text import DEFAULT_TEMPLATES, encode_names
from clipcache.tiny import WEIGHTS
from clipcache.tiny.garments import CLASSES
from clipcache.tiny.render import render
from clipcache.tiny.train import EVALUATION

BATCH = 256
PENALTIES = (10.0, 30.0, 100.0, 300.0, 1000.0)
"""Candidates for `Linear.c`; a quarter of the training pictures decides."""


def encode(
    encoder: OpenClip, *, seed: int, split: int, per_class: int
) -> tuple[Vectors, Labels, float]:
    """Return vectors and labels of fresh pictures, and the seconds that the tower alone took."""
    rng = np.random.default_rng((EVALUATION, seed, split))
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    vectors, seconds = [], 0.0
    for chunk in np.array_split(labels, max(1, len(labels) // BATCH)):
        pixels = np.stack([encoder.preprocess(render(int(i), rng=rng)) for i in chunk])
        began = time.perf_counter()
        vectors.append(encoder.encode_images(pixels))
        seconds += time.perf_counter() - began
    return np.concatenate(vectors), labels, seconds


def probe(x: Vectors, y: Labels, test: Vectors, truth: Labels, c: float) -> float:
    """Return the top-1 accuracy of a linear probe in percent."""
    rng = np.random.default_rng(0)
    head = Linear(c).fit(x, y, n_classes=len(CLASSES), text=None, rng=rng)
    return 100 * top_k_accuracy(head.logits(test), truth, 1)


def few_labels(
    x: Vectors, y: Labels, test: Vectors, truth: Labels, each: int, draws: int = 5
) -> float:
    """Return the mean accuracy of the default probe after `each` random labels a class."""
    scores = []
    for draw in range(draws):
        rng = np.random.default_rng((each, draw))
        rows = [rng.choice(np.flatnonzero(y == c), each, replace=False) for c in np.unique(y)]
        chosen = np.concatenate(rows)
        scores.append(probe(x[chosen], y[chosen], test, truth, Linear().c))
    return float(np.mean(scores))


def measure(encoder: OpenClip, *, seed: int, train: int, test: int) -> dict[str, float]:
    """Return the card's figures, accuracies in percent, on `train` + `test` pictures a class."""
    x, y, seconds = encode(encoder, seed=seed, split=0, per_class=train)
    unseen, truth, _ = encode(encoder, seed=seed, split=1, per_class=test)
    rng = np.random.default_rng(seed)
    text = encode_names(encoder, CLASSES, DEFAULT_TEMPLATES)
    zero_shot = ZeroShot().fit(x, y, n_classes=len(CLASSES), text=text, rng=rng)
    held, kept = np.split(rng.permutation(len(x)), [len(x) // 4])
    best = max(PENALTIES, key=lambda c: probe(x[kept], y[kept], x[held], y[held], c))
    return {
        "zero-shot top-1": 100 * top_k_accuracy(zero_shot.logits(unseen), truth, 1),
        "zero-shot top-5": 100 * top_k_accuracy(zero_shot.logits(unseen), truth, 5),
        "probe, 3 labels a class": few_labels(x, y, unseen, truth, 3),
        "probe, 10 labels a class": few_labels(x, y, unseen, truth, 10),
        f"probe, all {train} labels a class": probe(x, y, unseen, truth, best),
        "tower, images/s": len(x) / seconds,
    }


@click.command()
@click.option("--seed", default=12345, show_default=True, help="Decides the pictures.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), default=WEIGHTS)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(seed: int, weights: Path, as_json: bool) -> None:
    """Measure clipcache-tiny on 200 + 50 fresh pictures a class."""
    encoder = OpenClip.load(EncoderOptions(TINY, str(weights), "cpu"))
    figures = measure(encoder, seed=seed, train=200, test=50)
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            click.echo(f"{name:28} {value:8.1f}")


if __name__ == "__main__":
    main()
