"""What every encoder promises, and the identity that a cache remembers it by."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from clipcache.arrays import Vectors

Pixels = npt.NDArray[np.float32]
"""(3, s, s) or (b, 3, s, s): what an encoder's own preprocessing makes of an image."""


@dataclass(frozen=True)
class Identity:
    """Everything that decides which vector an image gets.

    Two encoders are the same where all fields but `pretrained` agree: the weights are compared by
    content, whatever the tag or file that they came from is called.
    """

    library: str
    model: str
    pretrained: str = field(compare=False)
    weights: str
    """SHA-256 of all parameters, in hexadecimal."""
    preprocessing: str
    """Decoder, resize, interpolation, crop and normalisation, in words."""
    image_size: int
    dim: int
    dtype: str
    """The type that the encoder computes in; the cache stores float16."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild an identity from `to_dict`."""
        return cls(**{f.name: values[f.name] for f in fields(cls)})

    def __str__(self) -> str:
        return (
            f"{self.model} / {self.pretrained} (weights {self.weights[:12]}, {self.library}, "
            f"{self.image_size} px, {self.dim}-d, {self.dtype}, {self.preprocessing})"
        )


class Encoder(Protocol):
    """Turns images and prompts into unit vectors of one space."""

    @property
    def identity(self) -> Identity:
        """Name exactly which vectors this encoder makes."""
        ...

    @property
    def logit_scale(self) -> float:
        """The learned factor from cosine to logit."""
        ...

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return one RGB image as (3, s, s) float32; called from several threads at once."""
        ...

    def encode_images(self, batch: Pixels) -> Vectors:
        """Return (b, d) float32 unit rows for (b, 3, s, s) pixels."""
        ...

    def encode_text(self, prompts: Sequence[str]) -> Vectors:
        """Return (t, d) float32 unit rows for t prompts."""
        ...
