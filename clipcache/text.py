"""Class names as vectors: prompts from templates, encoded and averaged as CLIP does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from clipcache.arrays import Vectors
from clipcache.encoders.base import Encoder
from clipcache.errors import NoTextError, SourceError

DEFAULT_TEMPLATES = ("a photo of a {}.",)


@dataclass(frozen=True, eq=False)
class LabelText:
    """The class names of a cache and what the text tower makes of them."""

    names: tuple[str, ...]
    templates: tuple[str, ...]
    vectors: Vectors
    """(c, d) float32 unit rows, one a class; NaN where nothing is known of a name."""
    logit_scale: float
    """The factor from cosine to logit that the encoder learned."""

    def described(self) -> tuple[str, ...]:
        """Return the names that have a vector."""
        known = np.flatnonzero(np.isfinite(self.vectors).all(axis=1))
        return tuple(self.names[place] for place in known.tolist())

    def of(self, names: Sequence[str]) -> Self:
        """Return the same text for other class names; those that it does not know get NaN."""
        place = {name: index for index, name in enumerate(self.names)}
        vectors = np.full((len(names), self.vectors.shape[1]), np.nan, dtype=np.float32)
        for index, name in enumerate(names):
            if name in place:
                vectors[index] = self.vectors[place[name]]
        return replace(self, names=tuple(names), vectors=vectors)


def check_templates(templates: Sequence[str]) -> None:
    """Raise SourceError for a template without a single `{}`."""
    for template in templates:
        if template.count("{}") != 1:
            raise SourceError(f"template {template!r} must contain {{}} once, for the class name")


def encode_names(encoder: Encoder, names: Sequence[str], templates: Sequence[str]) -> LabelText:
    """Return one unit vector a class: the mean over templates, normalised again.

    Reference: Radford et al. 2021 (arXiv 2103.00020), section 3.1.4, prompt ensembling.
    """
    prompts = [template.replace("{}", name) for name in names for template in templates]
    vectors = encoder.encode_text(prompts).reshape(len(names), len(templates), -1)  # (c, t, d)
    mean = vectors.mean(axis=1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    return LabelText(tuple(names), tuple(templates), mean, encoder.logit_scale)


def text_for(encoder: Encoder, names: Sequence[str], templates: Sequence[str]) -> LabelText:
    """Return class names for a cache: as `encode_names`, without vectors where there are no words.

    An encoder of images alone leaves NaN, as for imported vectors whose names have none.
    """
    try:
        return encode_names(encoder, names, templates)
    except NoTextError:
        unknown = np.full((len(names), encoder.identity.dim), np.nan, dtype=np.float32)
        return LabelText(tuple(names), tuple(templates), unknown, encoder.logit_scale)
