"""The steps of a fine-tuning: batches, gradients, and an end where held-back labels say so.

The head begins where a light head on the frozen vectors ended, so that its first gradients do not
spoil the tower (LP-FT: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and
Underperform Out-of-Distribution", arXiv 2202.10054).
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from clipcache.arrays import Labels, RowIds
from clipcache.errors import DeviceError
from clipcache.features import read_ahead
from clipcache.finetune.balance import balanced
from clipcache.finetune.crops import Album, Crop, RandomCrops
from clipcache.finetune.judge import HeldBack
from clipcache.finetune.network import Network

WARM_UP = 0.1
"""The share of all steps in which the rate rises."""
LONGEST_GRADIENT = 1.0
PATIENCE = 10
"""Epochs without a better one after which there will be none."""
AHEAD = 2
"""Batches that are made before they are asked for."""

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained."""

    epochs: int
    batch_size: int
    rate: float
    """The highest learning rate of the tower."""
    head_rate: float
    weight_decay: float = 0.1
    """Of the tower's matrices."""


@dataclass(frozen=True)
class Shown:
    """The labelled images that a network is trained on, and how they are shown to it."""

    album: Album
    crops: RandomCrops
    rows: RowIds
    labels: Labels
    """(l,)."""
    seed: int
    workers: int

    def batches(self, size: int, count: int) -> Iterator[tuple[Crop, Labels]]:
        """Yield `count` batches of so many images; the same ones for the same seed."""
        places = balanced(self.labels, rng=np.random.default_rng((self.seed, 0)))
        with ThreadPoolExecutor(self.workers) as threads:
            for number in range(count):
                chosen = list(islice(places, size))
                jobs = [(number, i, place) for i, place in enumerate(chosen)]
                yield np.stack(list(threads.map(self._crop, jobs))), self.labels[chosen]

    def _crop(self, job: tuple[int, int, int]) -> Crop:
        """Return one image; what is shown of it depends on its place in the run alone."""
        rng = np.random.default_rng((self.seed, 1, *job[:2]))
        return self.crops(self.album.image(int(self.rows[job[2]])), rng)


@dataclass(frozen=True)
class Trained:
    """How a training went; the network holds its best state."""

    steps: int
    best_epoch: int | None
    """The epoch, 0 before the first, after which held-back labels liked the network best; None
    where there were none, so that the last one was taken."""
    losses: tuple[float, ...]
    """Mean loss of the training images in each epoch."""


def train(
    network: Network,
    shown: Shown,
    held: HeldBack | None,
    schedule: Schedule,
    progress: Progress = lambda done, total: None,
) -> Trained:
    """Train the network and leave it in the best state that there was.

    Raises DeviceError where the images of a batch do not fit into the memory of a GPU.
    """
    per_epoch = math.ceil(len(shown.rows) / schedule.batch_size)
    total = per_epoch * schedule.epochs
    optimizer, rates = _optimizer(network, schedule, total)
    losses: list[float] = []
    best = _Best(network, held)
    batches = shown.batches(schedule.batch_size, total)
    try:
        with closing(read_ahead(batches, AHEAD)) as waiting:
            for epoch in range(1, schedule.epochs + 1):
                parts = []
                for pixels, labels in islice(waiting, per_epoch):
                    parts.append(_step(network, optimizer, pixels, labels))
                    rates.step()
                    progress((epoch - 1) * per_epoch + len(parts), total)
                losses.append(float(np.mean(parts)))
                if best.stale(epoch):
                    break
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"a batch of {schedule.batch_size} images does not fit into the memory of the GPU; "
            "give --tune blocks:2, or `clipcache finetune` a smaller --batch-size"
        ) from error
    return Trained(len(losses) * per_epoch, best.restore(), tuple(losses))


def _step(network: Network, optimizer: Any, pixels: Crop, labels: Labels) -> float:
    loss = network.loss(pixels, labels)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(network.tower.values(), LONGEST_GRADIENT)
    optimizer.step()
    return float(loss.detach())


class _Best:
    """Remembers the state that held-back labels liked best; the last one where there are none."""

    def __init__(self, network: Network, held: HeldBack | None) -> None:
        self._network, self._held = network, held
        self._epoch = 0
        if held:
            self._loss, self._state = held.judge(network).loss, network.state()

    def stale(self, epoch: int) -> bool:
        """Judge the network after an epoch; whether none has been better for a while."""
        if self._held is None:
            return False
        loss = self._held.judge(self._network).loss
        if loss < self._loss:
            self._epoch, self._loss, self._state = epoch, loss, self._network.state()
        return epoch - self._epoch >= PATIENCE

    def restore(self) -> int | None:
        """Put the network into the best state and return its epoch."""
        if self._held is None:
            return None
        self._network.restore(self._state)
        return self._epoch


def _optimizer(network: Network, schedule: Schedule, steps: int) -> tuple[Any, Any]:
    """Return AdamW and its schedule: the rate rises evenly, then falls as half a cosine to zero.

    Only matrices of the tower decay (Loshchilov and Hutter 2019, "Decoupled Weight Decay
    Regularization").
    """
    matrices = [p for p in network.tower.values() if p.ndim > 1]
    others = [p for p in network.tower.values() if p.ndim <= 1]
    head = [network.weight, network.bias]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "lr": schedule.rate, "weight_decay": schedule.weight_decay},
            {"params": others, "lr": schedule.rate, "weight_decay": 0.0},
            {"params": head, "lr": schedule.head_rate, "weight_decay": 0.0},
        ]
    )
    rising = max(1, round(WARM_UP * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
