"""Any image model of timm, for what it sees before it names classes; it takes in no words."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import timm
import timm.models
from timm.data.config import resolve_model_data_config
from timm.data.transforms_factory import create_transform

from clipcache.arrays import Vectors
from clipcache.encoders._hub import first_line, made_quietly, silence
from clipcache.encoders._images import ImageHalf, SeesImages
from clipcache.encoders._tower import digest, pick_device
from clipcache.encoders._view import Mode, View
from clipcache.encoders.base import Identity
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import EncoderError, NoTextError

__all__ = ["Timm"]

RANDOM = "random"
MODES: dict[str, Mode] = {"center": "shortest", "border": "longest", "squash": "squash"}
"""What timm calls the ways to make an image square."""


class Timm(SeesImages):
    """The pooled features of one timm model, as unit vectors."""

    logit_scale = 1.0

    def __init__(self, images: ImageHalf, identity: Identity) -> None:
        super().__init__(images)
        self.identity = identity

    @classmethod
    def load(cls, options: EncoderOptions) -> Self:
        """Make the encoder.

        `options.name` is a timm model such as resnet50, and `options.pretrained` one of its tags,
        the path of a checkpoint, or "random" for untrained weights (seeded). None: the tag that
        timm takes by default.

        Raises EncoderError where model, weights, device or precision cannot be had.
        """
        model, device = options.name, pick_device(options.device)
        if not timm.is_model(model) or "." in model:
            raise EncoderError(
                f"timm has no model called {model!r}; `python -c 'import timm; "
                "print(timm.list_models())'` lists them, and tags go to --pretrained"
            )
        pretrained = options.pretrained or _default_tag(model)
        net = _create(model, pretrained).to(device)
        config = resolve_model_data_config(net)
        weights, words = digest(net), f"timm {json.dumps(config, sort_keys=True)}"
        transform = create_transform(**config, is_training=False)
        images = ImageHalf.make(net, _view(config), transform, words, options)
        identity = images.identity("timm", model, pretrained, weights)
        return cls(images, identity)

    def encode_text(self, prompts: Sequence[str]) -> Vectors:
        """Raise NoTextError: such a model was never taught words."""
        raise NoTextError(
            f"{self.identity.model} of timm sees images and knows no words; give images as "
            "examples, or embed with a model of open_clip"
        )


def _default_tag(model: str) -> str:
    tags = timm.list_pretrained(f"{model}.*")
    config = timm.get_pretrained_cfg(model)
    if not tags or config is None:
        raise EncoderError(
            f"timm has no weights for {model}; give --pretrained the path of a checkpoint, or "
            f"{RANDOM!r} to measure speed with untrained weights"
        )
    return str(config.tag)


def _create(model: str, pretrained: str) -> Any:
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{model}.*")]
    is_file = Path(pretrained).is_file()
    if pretrained not in (*tags, RANDOM) and not is_file:
        raise EncoderError(
            f"{pretrained!r} is neither a file nor a tag of {model}; its tags are: "
            f"{', '.join(tags) or 'none'}"
        )
    from_hub = pretrained in tags
    name = f"{model}.{pretrained}" if from_hub else model
    try:
        with made_quietly():
            # Without classes, what comes out are pooled features.
            net = timm.create_model(name, pretrained=from_hub, num_classes=0)
    except Exception as error:
        raise EncoderError(
            f"the weights {name} could not be fetched from the hub; --pretrained FILE takes a "
            "checkpoint that you have"
        ) from error
    if is_file and not from_hub:
        _fill(net, model, pretrained)
    return net


def _fill(net: Any, model: str, path: str) -> None:
    """Take all weights but those of a classifier from a checkpoint."""
    try:
        with silence():
            found = timm.models.load_checkpoint(net, path, strict=False)
    except Exception as error:
        raise EncoderError(
            f"{path} could not be loaded as weights of {model}: {first_line(error)}"
        ) from error
    missing = found.missing_keys if found else ()
    if missing:
        raise EncoderError(
            f"{path} could not be loaded as weights of {model}: {len(missing)} of them are not "
            f"there, {missing[0]} for one"
        )


def _view(config: dict[str, Any]) -> View:
    _, height, width = config["input_size"]
    if height != width:
        raise EncoderError(
            f"the model wants images of {width} x {height}, but only square ones are known here"
        )
    border = config["crop_mode"] == "border"
    mean = tuple(config["mean"])
    return View(
        side=height,
        scaled=int(height / config["crop_pct"]),
        mode=MODES[config["crop_mode"]],
        interpolation=config["interpolation"],
        mean=mean,
        std=tuple(config["std"]),
        fill=tuple(round(255 * value) for value in mean) if border else (0, 0, 0),
    )
