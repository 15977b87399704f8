"""The built-in encoder, loaded once, and a wrapper that counts what it is asked."""

from collections.abc import Sequence
from functools import cache

import torch
from PIL import Image

from clipcache.arrays import Pixels, Vectors
from clipcache.encoders.base import Identity
from clipcache.encoders.openclip import OpenClip
from clipcache.encoders.options import EncoderOptions


@cache
def tiny() -> OpenClip:
    torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
    return OpenClip.load(EncoderOptions("clipcache-tiny", device="cpu"))


class Counting:
    """The real encoder; `images` and `prompts` grow with each use, `batches` has their sizes."""

    def __init__(self) -> None:
        self.images = 0
        self.batches: list[int] = []
        self.prompts: list[str] = []

    @property
    def identity(self) -> Identity:
        return tiny().identity

    @property
    def logit_scale(self) -> float:
        return tiny().logit_scale

    @property
    def lanes(self) -> int:
        return tiny().lanes

    def prepare(self, data: bytes) -> Pixels:
        return tiny().prepare(data)

    def preprocess(self, image: Image.Image) -> Pixels:
        return tiny().preprocess(image)

    def encode_images(self, batch: Pixels) -> Vectors:
        self.images += len(batch)
        self.batches.append(len(batch))
        return tiny().encode_images(batch)

    def encode_text(self, prompts: Sequence[str]) -> Vectors:
        self.prompts += prompts
        return tiny().encode_text(prompts)
