"""Fine-tuning by itself: an encoder, labelled images and a start for the head go in.

What it brought to clipcache-tiny, which knows drawn garments only (top-1 in % of the default head
with the same labels, on test images, before and after):

| | labels | before | after |
|---|---|---|---|
| photos of garments, 17 classes | 120 | 25.2, 26.0 | 35.8, 33.6 |
| | 500, none held back | 34.3 | 50.2 |
| | 500, 100 held back | 34.3 | 48.7 |
| drawn garments, 40 classes | 120 | 75.7 | 71.0 |
| | 500, 100 held back | 82.6 | 82.6, as nothing was changed |

So it pays where the encoder does not know such images, and harms where it does and labels are few.
Held-back labels tell the two apart, at the price of a point or two, where there are enough of
them; where not, only test images do. Other ways to begin the head, with the first 120 labels of
photos: the class names' vectors, as FLYP does, 30.8; the run's own head, 35.8. With half the way
back (alpha 0.5), the second 120 brought 30.0, and those of drawn garments 71.8: less of either.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch

from clipcache import registry, tiny
from clipcache.arrays import Labels, Pixels, RowIds
from clipcache.classifier.lesson import Lesson
from clipcache.encoders.openclip import OpenClip
from clipcache.errors import ImageError, RunError
from clipcache.finetune.crops import Album, RandomCrops
from clipcache.finetune.judge import HeldBack, Judged
from clipcache.finetune.network import Network
from clipcache.finetune.tower import Tune
from clipcache.finetune.train import Progress, Schedule, Shown, Trained, train
from clipcache.finetune.wise import Mix
from clipcache.folds import folds
from clipcache.heads.base import LinearWeights

PART = 5
"""One label in so many is held back, where a class has two."""
FEWEST = 50
"""Held-back labels that are worth listening to, which takes some 250 in all. Of 120 labels of
photos 24 were held back and stopped the training at once, since a head is sooner too sure than
worse: the usual head was right on 25.2 % of test images before and after. With all 120 in training,
for 20 epochs, on 35.8 %."""
MOST = 500
"""Held-back images, which are in memory as pixels: 300 MB for an encoder of 224 pixels."""

RATES = {"all": 1e-5, "blocks": 1e-5, "lora": 2e-4}
"""Highest learning rates of the tower: those of FLYP (Goyal et al. 2023, "Finetune like you
pretrain") for CLIP's own ViT-B, and of CLIP-LoRA (Zanella and Ben Ayed 2024). Not measured here."""
TINY_RATES = {"all": 1e-3, "blocks": 1e-3, "lora": 1e-3}
"""Those of clipcache-tiny, a hundredth of the size: with 120 labels of photos, 24 of them held
back, 3e-4 brought 4 points, 1e-3 brought 7 and 3e-3 brought 2. LoRA's was not searched for."""
HEAD_RATE = 1e-3
USUAL_ALPHA = 1.0
"""Where no held-back labels say how far to go; see above."""


@dataclass(frozen=True)
class TuneOptions:
    """How to fine-tune."""

    tune: Tune = field(default_factory=Tune)
    epochs: int = 20
    batch_size: int = 32
    rate: float | None = None
    """The highest learning rate of the tower; None takes the usual one."""
    alpha: float | None = None
    """WiSE-FT's; None asks held-back labels."""
    seed: int = 0
    workers: int = 2

    def schedule(self, model: str) -> Schedule:
        """Return how long and how fast a model is trained."""
        rates = TINY_RATES if model == tiny.NAME else RATES
        rate = rates[self.tune.kind] if self.rate is None else self.rate
        return Schedule(self.epochs, self.batch_size, rate, HEAD_RATE)


@dataclass(frozen=True)
class Tuning:
    """How a fine-tuning went."""

    tune: str
    parameters: int
    """How many were trained, those of the head not counted."""
    held_back: int
    """Labels that said when to stop and how far to go; none where they were too few."""
    trained: Trained
    alpha: float
    before: Judged | None
    """The encoder and its light head as they were, on the labels that were held back."""
    after: Judged | None


class Tuned(NamedTuple):
    """What became of an encoder, whose weights are changed now."""

    head: LinearWeights
    """(d, c), for the new vectors."""
    tuning: Tuning


def usable(album: Album, rows: RowIds, workers: int) -> tuple[RowIds, str]:
    """Return the places of the rows whose image can be used, and why the first other cannot."""

    def fault(row: int) -> str:
        try:
            album.image(row)
        except ImageError as error:
            return str(error) or "it cannot be used"
        return ""

    with ThreadPoolExecutor(workers) as threads:
        faults = list(threads.map(fault, rows.tolist()))
    return np.flatnonzero([not what for what in faults]), next(filter(None, faults), "")


def tune(
    encoder: OpenClip,
    lesson: Lesson,
    album: Album,
    options: TuneOptions,
    progress: Progress = lambda done, total: None,
) -> Tuned:
    """Train the image tower of an encoder on labelled images, and a head with it.

    Parameters
    ----------
    encoder : changed in place.
    lesson : labelled rows, their vectors as the encoder makes them now, and the recipe of a head.
    album : the images of these rows, all of which can be used.

    Raises RunError where the labels are all of one class, EncoderError where the tower has no such
    blocks, DeviceError where a batch does not fit into the memory of a GPU.
    """
    if len(np.unique(lesson.y)) < 2:
        raise RunError(
            f"all {len(lesson.y)} labels say {lesson.names[lesson.y[0]]!r}: a network learns from "
            "at least two classes; label images of another one first"
        )
    kept, out = _hold_back(lesson.y, options.seed)
    device = encoder.tower.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)  # LoRA begins at random
        network = Network(encoder, _start(lesson, kept), options.tune)
    held = _held(encoder, album, lesson.rows[out], lesson.y[out], options) if len(out) else None
    before = held.judge(network) if held else None
    crops = RandomCrops(encoder.view.side, encoder.view.interpolation)
    shown = Shown(album, crops, lesson.rows[kept], lesson.y[kept], options.seed, options.workers)
    count = sum(parameter.numel() for parameter in network.tower.values())
    trained = train(network, shown, held, options.schedule(encoder.identity.model), progress)
    network.finish()
    alpha = _mix(network, held, options.alpha)
    after = held.judge(network) if held else None
    how = str(options.tune)
    return Tuned(network.head(), Tuning(how, count, len(out), trained, alpha, before, after))


def _hold_back(y: Labels, seed: int) -> tuple[RowIds, RowIds]:
    """Return the places that are trained on and those held back; none of these where too few."""
    rng = np.random.default_rng((seed, 2))
    everything = np.arange(len(y))
    _, out = next(folds(y, PART, rng=rng), (everything, everything[:0]))
    if len(out) < FEWEST:
        return everything, everything[:0]
    out = rng.permutation(out)[:MOST]
    return np.setdiff1d(everything, out), out


def _start(lesson: Lesson, places: RowIds) -> LinearWeights:
    """Return the lesson's own head on these labels, or a linear one where it has no weights."""
    head = lesson.fit(places)
    if isinstance(head, LinearWeights):
        return head
    fitted = replace(lesson, head=registry.load("heads", "linear")()).fit(places)
    assert isinstance(fitted, LinearWeights)
    return fitted


def _mix(network: Network, held: HeldBack | None, alpha: float | None) -> float:
    """Set the network between before and after, and return how far from before."""
    mix = Mix(network)
    if alpha is None and held:
        return mix.choose(held)
    chosen = USUAL_ALPHA if alpha is None else alpha
    mix.set(chosen)
    return chosen


def _held(
    encoder: OpenClip, album: Album, rows: RowIds, labels: Labels, options: TuneOptions
) -> HeldBack:
    def see(row: int) -> Pixels:
        return encoder.preprocess(album.decoded(row))

    with ThreadPoolExecutor(options.workers) as threads:
        pixels = np.stack(list(threads.map(see, rows.tolist())))
    return HeldBack(pixels, labels, options.batch_size)
