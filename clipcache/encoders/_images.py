"""The image half of an encoder of PyTorch: how images become pixels, and pixels unit vectors."""

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import nn

from clipcache.arrays import Pixels, Vectors
from clipcache.encoders._pixels import Exact, Fast
from clipcache.encoders._precision import settle
from clipcache.encoders._tower import Tower
from clipcache.encoders._view import View
from clipcache.encoders.base import Identity
from clipcache.encoders.options import EncoderOptions
from clipcache.threads import available_threads


class ImageHalf:
    """What `EncoderOptions` ask for, done for any image tower; any thread may use it."""

    def __init__(self, tower: Tower, view: View, pixels: Exact | Fast, checked: str) -> None:
        self.tower = tower
        self.view = view
        self._pixels = pixels
        self.checked = checked
        """What was measured of the precision, in words."""
        black = np.zeros((1, 3, view.side, view.side), dtype=np.uint8)
        self.dim = int(self.encode(black).shape[1])
        """How many numbers a vector has, as the tower says: configs name it in many places."""

    @classmethod
    def make(
        cls,
        body: nn.Module,
        view: View,
        transform: Callable[[Image.Image], torch.Tensor],
        words: str,
        options: EncoderOptions,
    ) -> Self:
        """Make it of a library's own parts, on the device where they are.

        Parameters
        ----------
        body : from (b, 3, s, s) normalised float32 pixels to (b, d).
        transform : from an RGB image to (3, s, s) normalised float32 pixels. words : what it does.
        view : what the two are about, for whoever does it in another way.

        Raises EncoderError where fast decoding or the precision cannot be had.
        """
        pixels = Fast(view) if options.fast_decode else Exact(transform, words)
        tower, checked = settle(Tower(body, view), options, pixels.preprocess)
        made = cls(tower, view, pixels, checked)
        if options.compile:  # the first batch does it, and that of `dim` is like no other
            tower.compile()
        return made

    @property
    def lanes(self) -> int:
        """How many batches to encode at once; a GPU gets one while it works on the other."""
        return 2 if self.tower.device.type == "cuda" else available_threads()

    def identity(self, library: str, model: str, pretrained: str, weights: str) -> Identity:
        """Return who the encoder is; of a checkpoint, only the file's name."""
        return Identity(
            library=library,
            model=model,
            pretrained=Path(pretrained).name if Path(pretrained).is_file() else pretrained,
            weights=weights,
            preprocessing=self._pixels.words,
            image_size=self.view.side,
            dim=self.dim,
            dtype=self.tower.precision,
            checked=self.checked,
        )

    def prepare(self, data: bytes) -> Pixels:
        """Return the image in these bytes as (3, s, s); ImageError where it is none."""
        return self._pixels.prepare(data)

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return an RGB image as (3, s, s)."""
        return self._pixels.preprocess(image)

    def encode(self, batch: Pixels) -> Vectors:
        """Return (b, d) float32 unit rows for (b, 3, s, s) pixels."""
        return self.tower.encode(batch)


class SeesImages:
    """The part of an encoder that its image half does."""

    def __init__(self, images: ImageHalf) -> None:
        self._images = images

    @property
    def tower(self) -> Tower:
        """The image tower, from pixels to unit rows."""
        return self._images.tower

    @property
    def view(self) -> View:
        """What it sees of an image."""
        return self._images.view

    @property
    def lanes(self) -> int:
        """How many batches to encode at the same time."""
        return self._images.lanes

    def prepare(self, data: bytes) -> Pixels:
        """Return the image in these bytes as (3, s, s); ImageError where it is none."""
        return self._images.prepare(data)

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return one RGB image as (3, s, s), by default through the library's own transform."""
        return self._images.preprocess(image)

    def encode_images(self, batch: Pixels) -> Vectors:
        """Return (b, d) float32 unit rows for (b, 3, s, s) pixels."""
        return self._images.encode(batch)
