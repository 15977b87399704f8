"""An image tower and a head as one PyTorch module, as ONNX is to have them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from clipcache.arrays import Pixels
from clipcache.classifier.classifier import Classifier
from clipcache.encoders.base import TowerEncoder
from clipcache.errors import RunError
from clipcache.heads.base import FittedHead, LinearWeights
from clipcache.heads.clip_adapter import ClipAdapterWeights
from clipcache.heads.tip_adapter import TipAdapterWeights


class Network(nn.Module):
    """From (b, s, s, 3) uint8 pixels to probabilities and embeddings."""

    def __init__(self, encoder: TowerEncoder, classifier: Classifier) -> None:
        """Share the encoder's weights; RunError for a head that is not known here."""
        super().__init__()
        self.tower = encoder.tower
        self.head = head_module(classifier.head)
        self.temperature = classifier.calibration.temperature

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (b, c) float32 probabilities and (b, d) float32 unit rows."""
        embedding = self.tower(images.permute(0, 3, 1, 2))
        return torch.softmax(self.head(embedding) / self.temperature, dim=1), embedding

    @property
    def bytes(self) -> int:
        """How much the weights of the image tower take."""
        return sum(p.numel() * p.element_size() for p in self.tower.parameters())


def as_bytes(encoder: TowerEncoder, pixels: Pixels) -> npt.NDArray[np.uint8]:
    """Return what pixels of an encoder, (b, 3, s, s), are without normalising: (b, s, s, 3)."""
    plain = pixels
    if pixels.dtype != np.uint8:
        mean, std = (np.reshape(v, (3, 1, 1)) for v in (encoder.view.mean, encoder.view.std))
        plain = np.rint(255 * (pixels * std + mean)).astype(np.uint8)
    return np.ascontiguousarray(plain.transpose(0, 2, 3, 1), dtype=np.uint8)


def preprocessing(encoder: TowerEncoder) -> dict[str, Any]:
    """Return what is to be done to an image before it goes in, for people and programs."""
    view = encoder.view
    return {
        "color": "RGB, 8 bits, upright by EXIF, transparent parts on white",
        "resize": view.mode,
        "resize_to": view.scaled,
        "size": view.side,
        "interpolation": view.interpolation,
        "antialias": True,
        "crop": "center",
        "layout": "batch, height, width, channel; uint8",
    }


def head_module(head: FittedHead) -> nn.Module:
    """Return a fitted head as a module from (b, d) unit rows to (b, c) logits."""
    kinds: dict[type, type[_Head]] = {
        LinearWeights: _Linear,
        TipAdapterWeights: _TipAdapter,
        ClipAdapterWeights: _ClipAdapter,
    }
    if type(head) not in kinds:
        raise RunError(
            f"heads of type {type(head).__name__} cannot be written as ONNX; export it alone, with "
            "--format head"
        )
    return kinds[type(head)](head)


class _Head(nn.Module):
    """Has every array of a fitted head as a buffer of the same name."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, head: FittedHead) -> None:
        super().__init__()
        for name, array in vars(head).items():
            self.register_buffer(name, torch.tensor(np.asarray(array, dtype=np.float32)))


class _Linear(_Head):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As `LinearWeights.logits`."""
        return x @ self.weight + self.bias


class _TipAdapter(_Head):
    keys: torch.Tensor
    votes: torch.Tensor
    sharpness: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As `TipAdapterWeights.logits`."""
        near = torch.exp(-self.sharpness[1] * (1 - x @ self.keys.T))
        return x @ self.weight + self.bias + self.sharpness[0] * (near @ self.votes)


class _ClipAdapter(_Head):
    down: torch.Tensor
    up: torch.Tensor
    ratio: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As `ClipAdapterWeights.logits`."""
        change = torch.relu(torch.relu(x @ self.down) @ self.up)
        moved = nn.functional.normalize(self.ratio * change + (1 - self.ratio) * x, dim=1)
        return moved @ self.weight + self.bias
