"""Which encoder, where and how it computes: all that another process needs to make the same one."""

from dataclasses import dataclass, replace

from clipcache import registry
from clipcache.encoders.base import Encoder, Identity
from clipcache.errors import EncoderError

DEFAULT_LIBRARY = "openclip"
FILES = {"open_clip": DEFAULT_LIBRARY}
"""Library -> the file of this folder that knows it, where the two are not called the same."""
PRECISIONS = ("float32", "bfloat16", "float16", "auto")


@dataclass(frozen=True)
class EncoderOptions:
    """The options of `clipcache embed` with the same names."""

    model: str
    """A model of open_clip, or clipcache-tiny; with a prefix, as in "timm:resnet50", one that
    another file of this folder knows."""
    pretrained: str | None = None
    """A tag of the hub, the path of a checkpoint, or "random"; None: the model's usual weights."""
    device: str = "auto"
    """"auto" (CUDA where there is one), "cpu" or "cuda"."""
    precision: str = "float32"
    """What the image tower computes in, one of PRECISIONS; "auto" takes less than float32 where
    the device is faster with it and the vectors stay the same for all purposes."""
    fast_decode: bool = False
    """Decode and scale images in a faster way, which makes slightly other vectors."""
    compile: bool = False
    """Compile the image tower. Like another device, that changes no more than the last bits, so
    the identity does not tell."""
    checked: str = ""
    """What was measured of this precision before, so that it need not be measured again."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise EncoderError(
                f"no precision called {self.precision!r}; there are: {', '.join(PRECISIONS)}"
            )

    @property
    def library(self) -> str:
        """The file of this folder that knows the model."""
        return self.model.partition(":")[0] if ":" in self.model else DEFAULT_LIBRARY

    @property
    def name(self) -> str:
        """What the model is called in its library."""
        return self.model.partition(":")[2] or self.model

    def settled(self, identity: Identity) -> "EncoderOptions":
        """Return the options with which another process makes the encoder of this identity.

        Nothing is left for it to measure or to choose.
        """
        return replace(self, precision=identity.dtype, checked=identity.checked)


def load_encoder(options: EncoderOptions) -> Encoder:
    """Return the encoder; the same options make the same one in any process.

    Raises EncoderError where model, weights, device or precision cannot be had, and
    UnknownNameError where no file of this folder knows the model.
    """
    encoder: Encoder = registry.load("encoders", options.library).load(options)
    return encoder


def options_of(identity: Identity) -> EncoderOptions | None:
    """Return how an encoder was made; None where no file of this folder did it."""
    library = FILES.get(identity.library, identity.library)
    if library not in registry.names("encoders"):
        return None
    return EncoderOptions(
        model=f"{library}:{identity.model}",
        pretrained=identity.pretrained,
        fast_decode=identity.fast_decode,
    ).settled(identity)
