"""An image tower with a classification head on its unit vectors, trained together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from clipcache.arrays import Labels, Pixels, Vectors
from clipcache.encoders.openclip import OpenClip
from clipcache.finetune.crops import Crop
from clipcache.finetune.lora import merge
from clipcache.finetune.tower import Tune, unlock
from clipcache.heads.base import LinearWeights

RULED_OUT = -1e4
"""A bias in the place of -inf, whose differences are no numbers."""


class Network:
    """Changes the weights of the encoder that it is made of.

    The tower stays in evaluation mode throughout: nothing is dropped, and batch norm keeps the
    statistics of its pretraining, since those of a few dozen images would be worse.
    """

    def __init__(self, encoder: OpenClip, head: LinearWeights, tune: Tune) -> None:
        """Freeze the encoder, one in float32, but for what `tune` says.

        Raises EncoderError as `tower.unlock`.
        """
        self.model: Any = encoder.model
        self._pass = encoder.tower
        bias = np.maximum(head.bias, RULED_OUT)
        self.weight, self.bias = (
            nn.Parameter(torch.tensor(values, device=self._pass.device))
            for values in (head.weight, bias)
        )
        self.before = {name: p.detach().clone() for name, p in self.named_weights().items()}
        self.tower = unlock(self.model, tune)

    def named_weights(self) -> dict[str, nn.Parameter]:
        """Return all that could be trained, by name: the image tower and the head."""
        head = {"head.weight": self.weight, "head.bias": self.bias}
        return dict(self.model.visual.named_parameters()) | head

    def finish(self) -> None:
        """Add LoRA's changes to the weights, so that the tower is one of open_clip's again."""
        merge(self.model)

    @property
    def trained(self) -> list[nn.Parameter]:
        """Everything that is trained, the head last."""
        return [*self.tower.values(), self.weight, self.bias]

    def loss(self, pixels: Crop, labels: Labels) -> Tensor:
        """Return the mean cross-entropy of (b, 3, s, s) images, in nats.

        On CUDA the tower computes in bfloat16 where that is safe; its weights stay float32.
        """
        device = self._pass.device
        mixed = torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda")
        with mixed, parametrize.cached():
            vectors = self._pass(torch.from_numpy(pixels).to(device))
        logits = vectors @ self.weight + self.bias
        return nn.functional.cross_entropy(logits, torch.from_numpy(labels).to(device))

    def encode(self, pixels: Pixels) -> Vectors:
        """Return (b, d) float32 unit rows for (b, 3, s, s) pixels, in float32."""
        return self._pass.encode(pixels)

    def head(self) -> LinearWeights:
        """Return the head as it is now."""
        weight, bias = (p.detach().cpu().numpy().copy() for p in (self.weight, self.bias))
        return LinearWeights(weight, bias)

    def state(self) -> list[Tensor]:
        """Return a copy of everything that is trained."""
        return [parameter.detach().clone() for parameter in self.trained]

    @torch.no_grad()
    def restore(self, state: Sequence[Tensor]) -> None:
        """Set everything that is trained to what `state` returned."""
        for parameter, value in zip(self.trained, state, strict=True):
            parameter.copy_(value)
