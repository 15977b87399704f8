"""The main job on a pool that needs no download: draw, embed once, loop, report.

Garments are drawn by `clipcache.tiny.render`, so nothing here is a real photo; everything else (the
encoder, the cache, the loop) is what works on real ones.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from clipcache import tiny
from clipcache.cache.reader import EmbeddingCache
from clipcache.embed import EmbedOptions, embed
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.heads.base import LinearWeights
from clipcache.heads.zero_shot import ZeroShot
from clipcache.images.folder import Folder
from clipcache.loop import replay
from clipcache.metrics import top_k_accuracy
from clipcache.pool import Pool
from clipcache.report.demo import FULL, RANDOM, SUBSAMPLE, DemoResult, Pick
from clipcache.run import Run
from clipcache.run_config import RunConfig
from clipcache.tiny.garments import CLASSES
from clipcache.tiny.render import render
from clipcache.whitening import PoolSample

LARGEST, SMALLEST = 400, 20
"""Pool images of the most and the least frequent class; those between fall geometrically."""
TEST_EACH = 25
"""Test images of every class, so that rare classes count as much as frequent ones."""
PIXELS = 96
JPEG_QUALITY = 90

BASE = RunConfig(strategy="margin", head="linear", init="random:40", batch=20, rounds=12)
"""Random first labels, because nobody knows the classes of a new pool; they miss rare ones."""
ARMS = {
    FULL: BASE,
    SUBSAMPLE: replace(BASE, subsample=300),
    RANDOM: replace(BASE, strategy="random"),
}


def run_demo(out: Path, seeds: int, say: Callable[[str], None]) -> DemoResult:
    """Do the main job in `out` and return what to report; what is there already is not redone."""
    say("drawing the garments")
    draw_images(out / "images")
    say("embedding them, once")
    encoder = load_encoder(EncoderOptions(tiny.NAME))
    source = Folder(out / "images", split_folders=True)
    embedded = embed(source, encoder, out / "cache.zarr", EmbedOptions(batch_size=256))
    cache = EmbeddingCache.open(out / "cache.zarr")
    runs: dict[str, list[Run]] = {arm: [] for arm in ARMS}
    for arm, config in ARMS.items():
        say(f"{arm}: {seeds} runs of {config.rounds} rounds")
        for seed in range(seeds):
            folder = out / "runs" / f"{arm.replace(', ', '-').replace(' ', '-')}-{seed}"
            runs[arm].append(Run.begin(folder, replace(config, seed=seed), cache))
            replay(runs[arm][-1])
    shown = runs[FULL][0]
    return DemoResult(
        embedded=embedded,
        pool=len(shown.pool),
        test=len(shown.test),
        classes=len(shown.data.names),
        batch=BASE.batch,
        zero_shot=_zero_shot(shown),
        arms={arm: [run.store.rounds() for run in of_arm] for arm, of_arm in runs.items()},
        picks=_first_picks(shown, cache, out / "images"),
    )


def draw_images(folder: Path) -> None:
    """Draw pool and test images as JPEGs in split and class folders; those that exist stay."""
    share = np.linspace(0, 1, len(CLASSES))
    counts = np.round(LARGEST * (SMALLEST / LARGEST) ** share).astype(int)
    classes = np.random.default_rng(0).permutation(len(CLASSES))  # the last ones are the rare ones
    for index, count in zip(classes.tolist(), counts.tolist(), strict=True):
        draw_class(folder / "train" / CLASSES[index], index, count, seed=0)
        draw_class(folder / "test" / CLASSES[index], index, TEST_EACH, seed=1)


def draw_class(folder: Path, index: int, count: int, *, seed: int) -> None:
    """Draw `count` JPEGs of one class of garments into a folder; those that exist stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = folder / f"{number:04d}.jpg"
        if not path.exists():
            rng = np.random.default_rng((1, seed, index, number))
            partial = path.with_suffix(".partial")
            render(index, rng=rng, size=PIXELS).save(partial, format="jpeg", quality=JPEG_QUALITY)
            partial.replace(path)


def _zero_shot(run: Run) -> float:
    """Return the top-1 accuracy of the class names' vectors alone."""
    data = run.data
    head = ZeroShot().fit(
        np.empty((0, 0), dtype=np.float32),
        data.labels[:0],
        n_classes=len(data.names),
        text=data.text,
        rng=np.random.default_rng(0),
    )
    logits = head.logits(data.features[run.test].astype(np.float32))
    return top_k_accuracy(logits, data.labels[run.test], 1)


def _first_picks(run: Run, cache: EmbeddingCache, images: Path) -> list[Pick]:
    """Return the first batch that a run chose, with what its head thought of each image."""
    head = LinearWeights.load(run.head_path(0))
    start, rows = run.store.batches()[:2]
    sample = PoolSample(run.data.features, rows)
    pool = Pool(run.data.features, head, rows, start, run.data.labels[start], sample)
    keys = cache.keys()
    return [
        Pick(
            image=images / str(keys[row]),
            label=run.data.names[run.data.labels[row]],
            guesses=tuple((run.data.names[c], float(p)) for c, p in zip(best, probs, strict=True)),
        )
        for row, best, probs in zip(rows.tolist(), *pool.shortlist(rows, 2), strict=True)
    ]
