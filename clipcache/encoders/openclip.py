"""Any open_clip model: built in, from the hub by tag, or from a local checkpoint."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import open_clip
import torch

from clipcache import tiny
from clipcache.arrays import Vectors
from clipcache.encoders._hub import first_line, made_quietly
from clipcache.encoders._images import ImageHalf, SeesImages
from clipcache.encoders._tower import digest, pick_device
from clipcache.encoders._view import View
from clipcache.encoders.base import Identity
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import EncoderError

__all__ = ["OpenClip"]

TINY = tiny.NAME
RANDOM = "random"
DEFAULT_WEIGHTS = {TINY: "built-in", "ViT-B-32": "laion2b_s34b_b79k"}
TEXT_BATCH = 256


class OpenClip(SeesImages):
    """An image tower and a text tower of one open_clip model."""

    def __init__(self, model: Any, images: ImageHalf, identity: Identity) -> None:
        super().__init__(images)
        self.model = model
        """The open_clip module, for whoever changes its weights; always in float32."""
        self.identity = identity
        self.logit_scale = float(model.logit_scale.detach().exp())

    @classmethod
    def load(cls, options: EncoderOptions) -> Self:
        """Make the encoder.

        `options.model` is an open_clip model name, or "clipcache-tiny" for the built-in one, and
        `options.pretrained` a tag of the hub, the path of a checkpoint, or "random" for untrained
        weights (seeded; only good for measuring speed). None: the usual ones of ViT-B-32, and the
        built-in ones of clipcache-tiny.

        Raises EncoderError where model, weights, device or precision cannot be had.
        """
        model, device = options.name, pick_device(options.device)
        open_clip.add_model_config(tiny.CONFIG)
        _check_model(model)
        pretrained = options.pretrained or DEFAULT_WEIGHTS.get(model)
        if not pretrained:
            raise EncoderError(
                f"no weights were named for {model}; give --pretrained: a hub tag, the path of a "
                f"checkpoint, or {RANDOM!r} to measure speed with untrained weights"
            )
        built_in = (model, pretrained) == (TINY, DEFAULT_WEIGHTS[TINY])
        net, transform = _create(model, str(tiny.WEIGHTS) if built_in else pretrained, device)
        weights, config = digest(net), net.visual.preprocess_cfg
        words = f"open_clip {json.dumps(config, sort_keys=True)}"
        images = ImageHalf.make(net.visual, _view(config), transform, words, options)
        identity = images.identity("open_clip", model, pretrained, weights)
        return cls(net, images, identity)

    @torch.inference_mode()
    def encode_text(self, prompts: Sequence[str]) -> Vectors:
        """Return (t, d) float32 unit rows for t prompts, always computed in float32.

        Raises EncoderError where the model's tokenizer cannot be fetched.
        """
        tokens = self._tokenizer(list(prompts)).to(self.model.logit_scale.device)
        parts = [self.model.encode_text(b, normalize=True) for b in tokens.split(TEXT_BATCH)]
        vectors: Vectors = torch.cat(parts).cpu().numpy()
        return vectors

    @cached_property
    def _tokenizer(self) -> Any:
        """Made when the first words come: that of SigLIP is fetched from the hub."""
        name = self.identity.model
        try:
            with made_quietly():
                return open_clip.get_tokenizer(name)
        except Exception as error:
            hint = "; pip install transformers" if isinstance(error, ImportError) else ""
            raise EncoderError(
                f"the tokenizer of {name} could not be had, so it takes in no words: "
                f"{first_line(error)}{hint}"
            ) from error


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
    wanted = {} if pretrained in tags else _usual_preprocessing(model, tags)
    try:
        with made_quietly():
            net, _, transform = open_clip.create_model_and_transforms(
                model, pretrained=weights, device=device, **wanted
            )
    except Exception as error:
        if pretrained in tags:
            raise EncoderError(
                f"the weights {model} / {pretrained} could not be fetched from the hub; two ways "
                f"out: `--pretrained FILE` with a checkpoint you have, or `--model {TINY}`, which "
                "is built in (for trying things out, not for real photos)"
            ) from error
        raise EncoderError(
            f"{pretrained} could not be loaded as weights of {model}: {first_line(error)}"
        ) from error
    return net.eval(), transform


def _usual_preprocessing(model: str, tags: Sequence[str]) -> dict[str, Any]:
    """Return how all published weights of a model want images; nothing, where they differ.

    A file of weights does not say it, and open_clip takes it to be as for OpenAI's models, which
    is wrong for SigLIP and others.
    """
    names = ("mean", "std", "interpolation", "resize_mode")
    configs = [open_clip.get_pretrained_cfg(model, tag) for tag in tags]
    found = [{f"image_{name}": config[name] for name in names} for config in configs]
    return found[0] if found and all(config == found[0] for config in found) else {}


def _view(config: dict[str, Any]) -> View:
    size = config["size"]
    side = size if isinstance(size, int) else size[0]
    return View(
        side=side,
        scaled=side,
        mode=config["resize_mode"],
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=(config["fill_color"],) * 3,
    )
