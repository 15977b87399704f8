"""What people write themselves: an open_clip model, a DataLoader, float32, rows in an array."""

import time
from dataclasses import replace
from functools import cache
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from clipcache.benchmark.embed_parts import Job, Lap
from clipcache.benchmark.memory import forget_peak, peak_mb
from clipcache.encoders.openclip import OpenClip
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import EncoderError

BATCHES = (64, 256)
"""Sizes that are tried: the usual one, and what saves a GPU from waiting."""


class Files(Dataset[torch.Tensor]):
    """Images as (3, s, s) float32."""

    def __init__(self, paths: list[Path], transform: Any) -> None:
        self.paths = paths
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            pixels: torch.Tensor = self.transform(image)
        return pixels


class Model(NamedTuple):
    """A model in float32, as open_clip makes it, and its transform for inference."""

    net: Any
    transform: Any
    device: torch.device


@cache
def load_model(options: EncoderOptions) -> Model:
    """Return the model with the weights that our encoder of these options has.

    Raises EncoderError where it is none of open_clip.
    """
    if options.library != "openclip":
        raise EncoderError(f"{options.model} is no model of open_clip")
    plain = replace(options, precision="float32", fast_decode=False, compile=False)
    encoder = OpenClip.load(plain)
    net = encoder.model.to(memory_format=torch.contiguous_format)
    transform = image_transform_v2(PreprocessCfg(**net.visual.preprocess_cfg), is_train=False)
    model = Model(net, transform, net.logit_scale.device)
    side = encoder.view.side
    with torch.inference_mode():  # the first time is a slow one
        net.encode_image(torch.zeros(1, 3, side, side, device=model.device))
    return model


@cache
def _loader(job: Job, batch_size: int) -> "DataLoader[torch.Tensor]":
    """Make what decodes; its processes stay, so that starting them is not counted."""
    model = load_model(job.encoder)
    loader = DataLoader(
        Files(sorted(job.images.iterdir()), model.transform),
        batch_size=batch_size,
        num_workers=job.workers,
        pin_memory=model.device.type == "cuda",
        persistent_workers=True,
        # The usual way of the system: a process that was spawned would spawn its own ones.
        multiprocessing_context=get_all_start_methods()[0],
    )
    next(iter(loader))  # they start with the first batch
    return loader


@torch.inference_mode()
def embed_plainly(job: Job, batch_size: int) -> npt.NDArray[np.float32]:
    """Return (n, d) unit rows of all images, in the order of their names."""
    net, _, device = load_model(job.encoder)
    parts = []
    for batch in _loader(job, batch_size):
        rows = net.encode_image(batch.to(device, non_blocking=True), normalize=True)
        parts.append(rows.cpu().numpy())
    return np.concatenate(parts)


def plain_loop(job: Job, batch_size: int) -> Lap:
    """Measure that; memory is that of the process which encodes, without those that decode."""
    _loader(job, batch_size)
    forget_peak()
    began = time.perf_counter()
    rows = embed_plainly(job, batch_size)
    return Lap(len(rows), time.perf_counter() - began, peak_mb())
