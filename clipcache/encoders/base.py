"""What every encoder promises, and the identity that a cache remembers it by."""

from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, Self

from PIL import Image

from clipcache.arrays import Pixels, Vectors

if TYPE_CHECKING:
    from clipcache.encoders._tower import Tower
    from clipcache.encoders._view import View

FAST = "fast: "
"""How the preprocessing of an identity begins where images were decoded the faster way."""


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
    """The type that the image tower computes in; the cache stores float16."""
    checked: str = field(default="", compare=False)
    """What was measured of vectors in this type against those in float32."""

    @property
    def fast_decode(self) -> bool:
        """Whether images were decoded the faster way."""
        return self.preprocessing.startswith(FAST)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild an identity from `to_dict`, of this version or an older one."""
        known = (f.name for f in fields(cls) if f.name in values or f.default is MISSING)
        return cls(**{name: values[name] for name in known})

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
        """The learned factor from cosine to logit; 1 where there is no text tower."""
        ...

    @property
    def lanes(self) -> int:
        """How many batches to encode at the same time: the processors of a CPU, two of a GPU."""
        ...

    def prepare(self, data: bytes) -> Pixels:
        """Return the image in these bytes as (3, s, s); called from several threads at once.

        Raises ImageError where the bytes cannot be used.
        """
        ...

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return one RGB image as (3, s, s), like `prepare`; called from several threads at once.

        For whoever has no bytes of a file: `prepare` may decode in another, faster way.
        """
        ...

    def encode_images(self, batch: Pixels) -> Vectors:
        """Return (b, d) float32 unit rows for (b, 3, s, s) pixels of `prepare` or `preprocess`.

        Several threads may call it at once; a row does not depend on how many do.
        """
        ...

    def encode_text(self, prompts: Sequence[str]) -> Vectors:
        """Return (t, d) float32 unit rows for t prompts.

        Raises NoTextError where the encoder has no text tower.
        """
        ...


class TowerEncoder(Encoder, Protocol):
    """An encoder whose image tower is a PyTorch module, which can be written to other formats."""

    @property
    def tower(self) -> "Tower":
        """The module from pixels to unit rows."""
        ...

    @property
    def view(self) -> "View":
        """What it sees of an image."""
        ...
