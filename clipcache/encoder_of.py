"""The encoder that made a cache, loaded again: for words, and for images that are not in it."""

from typing import TYPE_CHECKING

from clipcache.encoders.base import Identity
from clipcache.errors import CacheIdentityError, EncoderError

if TYPE_CHECKING:
    from clipcache.encoders.openclip import OpenClip


def encoder_of(
    identity: Identity, pretrained: str | None = None, *, device: str = "auto"
) -> "OpenClip":
    """Return the encoder of this identity.

    Parameters
    ----------
    pretrained : where the weights are found, such as the path of the checkpoint that was used; None
        looks for them under the name that the cache remembers.
    device : "auto" (CUDA where there is one), "cpu" or "cuda".

    Raises EncoderError where the vectors were made elsewhere or the weights cannot be had, and
    CacheIdentityError where what was found makes other vectors.
    """
    if identity.library != "open_clip":
        raise EncoderError(
            f"the vectors of this cache were made elsewhere ({identity.library}: {identity.model}),"
            " so clipcache cannot encode words or images for it; embed the images themselves, with "
            "`clipcache embed`"
        )
    from clipcache.encoders.openclip import OpenClip  # brings torch

    try:
        encoder = OpenClip.load(identity.model, pretrained or identity.pretrained, device=device)
    except EncoderError as error:
        if pretrained:
            raise
        raise EncoderError(
            f"{error}; if the weights came from a file, name it with --pretrained"
        ) from error
    if encoder.identity != identity:
        raise CacheIdentityError(
            f"the cache was made by {identity}, but this is {encoder.identity}; use that encoder "
            "again: --pretrained says where its weights are"
        )
    return encoder
