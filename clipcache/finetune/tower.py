"""Which parameters of an image tower are trained: all, those of the last blocks, or low-rank ones.

Text tower and logit scale never are, so words keep their vectors.
"""

import re
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import nn

from clipcache.errors import EncoderError
from clipcache.finetune.lora import add_low_rank

FORMS = "all, blocks:2 or lora:8"


@dataclass(frozen=True)
class Tune:
    """What is trained."""

    kind: str = "all"
    """"all", "blocks" or "lora"."""
    number: int = 0
    """How many of the last blocks, or the rank."""

    @classmethod
    def parse(cls, text: str) -> "Tune":
        """Read all, blocks:N or lora:R; EncoderError for anything else."""
        found = re.fullmatch(r"all|(blocks|lora):([1-9]\d*)", text)
        if not found:
            raise EncoderError(f"--tune {text} is unknown; give {FORMS}")
        return cls(found[1], int(found[2])) if found[1] else cls()

    def __str__(self) -> str:
        return f"{self.kind}:{self.number}" if self.number else self.kind


@dataclass(frozen=True)
class Layout:
    """Where a kind of tower keeps its blocks, and what comes after the last one."""

    lists: tuple[str, ...]
    after: tuple[str, ...]


LAYOUTS = (
    Layout(("transformer.resblocks",), ("attn_pool", "attn_pool_contrastive", "ln_post", "proj")),
    Layout(("layer1", "layer2", "layer3", "layer4"), ("attnpool",)),
    Layout(
        ("trunk.blocks",), ("trunk.norm", "trunk.attn_pool", "trunk.fc_norm", "trunk.head", "head")
    ),
    Layout(("trunk.stages",), ("trunk.norm_pre", "trunk.head", "head")),
)
"""open_clip's own transformer and ResNet; timm's transformers, and what it builds of stages, each
of which counts as a block."""


def unlock(model: Any, tune: Tune) -> dict[str, nn.Parameter]:
    """Freeze a model but for what is to be trained, and return that by name.

    Low-rank parameters are added, so that they come with names of their own: `lora.merge` takes
    them away again. Raises EncoderError where the tower has no blocks that we know, or fewer.
    """
    model.requires_grad_(False)
    if tune.kind == "lora":
        add_low_rank(_modules(model.visual), tune.number)
    else:
        names = _last(model.visual, tune.number) if tune.number else ("",)
        for name, parameter in model.visual.named_parameters():
            parameter.requires_grad_(_is_in(name, names))
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def _is_in(name: str, places: tuple[str, ...]) -> bool:
    return any(not place or name == place or name.startswith(place + ".") for place in places)


def _last(visual: Any, count: int) -> tuple[str, ...]:
    """Return the names of the last `count` blocks and of what comes after them."""
    layout, blocks = _blocks(visual)
    if count > len(blocks):
        raise EncoderError(
            f"--tune blocks:{count}, but the image tower has {len(blocks)} blocks; give fewer, or "
            "all"
        )
    return (*blocks[-count:], *layout.after)


def _blocks(visual: Any) -> tuple[Layout, list[str]]:
    modules = dict(visual.named_modules())
    for layout in LAYOUTS:
        if layout.lists[0] in modules:
            lists = [name for name in layout.lists if name in modules]
            return layout, [f"{name}.{i}" for name in lists for i in range(len(modules[name]))]
    raise EncoderError(
        f"it is not known where a {type(visual).__name__} keeps its blocks; give --tune all"
    )


def _modules(visual: Any) -> list[nn.Module]:
    """Return the blocks and the modules after them, where low-rank parameters may be added."""
    layout, blocks = _blocks(visual)
    found = [attrgetter(name)(visual) for name in blocks]
    found += [module for name, module in visual.named_modules() if name in layout.after]
    return found
