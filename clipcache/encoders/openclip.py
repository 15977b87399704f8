"""Any open_clip model: built in, from the hub by tag, or from a local checkpoint."""

import hashlib
import json
import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies

import huggingface_hub
import open_clip
import torch
from PIL import Image

from clipcache import tiny
from clipcache.arrays import Vectors
from clipcache.encoders.base import Identity, Pixels
from clipcache.errors import EncoderError
from clipcache.images.decode import DECODING

__all__ = ["OpenClip"]

TINY = tiny.NAME
RANDOM = "random"
DEFAULT_WEIGHTS = {TINY: "built-in", "ViT-B-32": "laion2b_s34b_b79k"}
TEXT_BATCH = 256


class OpenClip:
    """An image tower and a text tower of one open_clip model, in float32."""

    def __init__(self, model: Any, transform: Any, tokenizer: Any, identity: Identity) -> None:
        self.model = model
        """The open_clip module, for whoever exports it."""
        self._transform = transform
        self._tokenizer = tokenizer
        self._device = next(model.parameters()).device
        self.identity = identity
        self.logit_scale = float(model.logit_scale.detach().exp())

    @classmethod
    def load(cls, model: str, pretrained: str | None = None, *, device: str = "auto") -> Self:
        """Make the encoder.

        Parameters
        ----------
        model : an open_clip model name, or "clipcache-tiny" for the built-in one.
        pretrained : a tag of the hub, the path of a checkpoint, or "random" for untrained weights
            (seeded; only good for measuring speed). None: the usual ones of ViT-B-32, and the
            built-in ones of clipcache-tiny.
        device : "auto" (CUDA where there is one), "cpu" or "cuda".

        Raises EncoderError where model, weights or device cannot be had.
        """
        device = _pick_device(device)
        open_clip.add_model_config(tiny.CONFIG)
        _check_model(model)
        pretrained = pretrained or DEFAULT_WEIGHTS.get(model)
        if not pretrained:
            raise EncoderError(
                f"no weights were named for {model}; give --pretrained: a hub tag, the path of a "
                f"checkpoint, or {RANDOM!r} to measure speed with untrained weights"
            )
        built_in = (model, pretrained) == (TINY, DEFAULT_WEIGHTS[TINY])
        net, transform = _create(model, str(tiny.WEIGHTS) if built_in else pretrained, device)
        identity = Identity(
            library="open_clip",
            model=model,
            pretrained=Path(pretrained).name if Path(pretrained).is_file() else pretrained,
            weights=_digest(net),
            preprocessing=_describe(net.visual.preprocess_cfg),
            image_size=_side(net.visual.image_size),
            dim=_dim(net),
            dtype="float32",
        )
        return cls(net, transform, open_clip.get_tokenizer(model), identity)

    def preprocess(self, image: Image.Image) -> Pixels:
        """Return one RGB image through open_clip's own evaluation transform: (3, s, s) float32."""
        pixels: Pixels = self._transform(image).numpy()
        return pixels

    @torch.inference_mode()
    def encode_images(self, batch: Pixels) -> Vectors:
        """Return (b, d) float32 unit rows for (b, 3, s, s) pixels."""
        images = torch.from_numpy(batch).to(self._device)
        vectors: Vectors = self.model.encode_image(images, normalize=True).cpu().numpy()
        return vectors

    @torch.inference_mode()
    def encode_text(self, prompts: Sequence[str]) -> Vectors:
        """Return (t, d) float32 unit rows for t prompts."""
        tokens = self._tokenizer(list(prompts)).to(self._device)
        parts = [self.model.encode_text(b, normalize=True) for b in tokens.split(TEXT_BATCH)]
        vectors: Vectors = torch.cat(parts).cpu().numpy()
        return vectors


def _pick_device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise EncoderError("device cuda was asked for, but PyTorch sees none; use --device cpu")
    return device


def _check_model(model: str) -> None:
    if model not in open_clip.list_models():
        raise EncoderError(
            f"open_clip has no model called {model!r}; `python -c 'import open_clip; "
            f"print(open_clip.list_models())'` lists them, and {TINY} is built in"
        )


def _create(model: str, pretrained: str, device: str) -> tuple[Any, Any]:
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained not in (*tags, RANDOM) and not Path(pretrained).is_file():
        raise EncoderError(
            f"{pretrained!r} is neither a file nor a hub tag of {model}; its tags are: "
            f"{', '.join(tags) or 'none'}"
        )
    weights = None if pretrained == RANDOM else pretrained
    try:
        with torch.random.fork_rng(), silence(), _no_vain_retries():
            torch.manual_seed(0)  # so that "random" is the same network every time
            net, _, transform = open_clip.create_model_and_transforms(
                model, pretrained=weights, device=device
            )
    except Exception as error:
        if pretrained in tags:
            raise EncoderError(
                f"the weights {model} / {pretrained} could not be fetched from the hub; two ways "
                f"out: `--pretrained FILE` with a checkpoint you have, or `--model {TINY}`, which "
                "is built in (for trying things out, not for real photos)"
            ) from error
        raise EncoderError(
            f"{pretrained} could not be loaded as weights of {model}: {_first_line(error)}"
        ) from error
    # Convolutions run 1.3 to 1.8 times faster on the CPU this way; transformers do not mind.
    return net.eval().to(memory_format=torch.channels_last), transform


@contextmanager
def silence() -> Iterator[None]:
    """Keep the logging of others off the terminal: what counts, we say in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _no_vain_retries() -> Iterator[None]:
    """Let the hub's client look only into its local cache where its host cannot be reached.

    It would retry in silence for three quarters of a minute otherwise.
    """
    constants = huggingface_hub.constants
    before = constants.HF_HUB_OFFLINE
    try:
        if not getproxies():
            host = urlsplit(constants.ENDPOINT)
            socket.create_connection((host.hostname, host.port or 443), timeout=5).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _digest(net: torch.nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all parameters and buffers, in order of name."""
    sha = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        sha.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        sha.update(values.reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def _describe(cfg: dict[str, Any]) -> str:
    return f"{DECODING}; open_clip {json.dumps(cfg, sort_keys=True)}"


def _side(size: int | tuple[int, int]) -> int:
    return size if isinstance(size, int) else size[0]


@torch.inference_mode()
def _dim(net: Any) -> int:
    """Ask the image tower itself: configs name the dimension in too many places."""
    size = _side(net.visual.image_size)
    device = next(net.parameters()).device
    return int(net.encode_image(torch.zeros(1, 3, size, size, device=device)).shape[1])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
