"""The encoder that made a cache, loaded again: for words, and for images that are not in it."""

from dataclasses import replace

from clipcache.encoders.base import Encoder, Identity
from clipcache.encoders.options import load_encoder, options_of
from clipcache.errors import CacheIdentityError, EncoderError


def encoder_of(
    identity: Identity,
    pretrained: str | None = None,
    *,
    device: str = "auto",
    precision: str | None = None,
) -> Encoder:
    """Return the encoder of this identity.

    Parameters
    ----------
    pretrained : where the weights are found, such as the path of the checkpoint that was used; None
        looks for them under the name that the cache remembers.
    device : "auto" (CUDA where there is one), "cpu" or "cuda".
    precision : another one than that of the cache, for whoever needs it; the vectors are nearly the
        same.

    Raises EncoderError where the vectors were made elsewhere or the weights cannot be had, and
    CacheIdentityError where what was found makes other vectors.
    """
    options = options_of(identity)
    if options is None:
        raise EncoderError(
            f"the vectors of this cache were made elsewhere ({identity.library}: {identity.model}),"
            " so clipcache cannot encode words or images for it; embed the images themselves, with "
            "`clipcache embed`"
        )
    options = replace(options, pretrained=pretrained or identity.pretrained, device=device)
    if precision not in (None, identity.dtype):
        options = replace(options, precision=precision, checked="")
    try:
        encoder = load_encoder(options)
    except EncoderError as error:
        if pretrained:
            raise
        raise EncoderError(
            f"{error}; if the weights came from a file, name it with --pretrained"
        ) from error
    if replace(encoder.identity, dtype=identity.dtype) != identity:
        raise CacheIdentityError(
            f"the cache was made by {identity}, but this is {encoder.identity}; use that encoder "
            "again: --pretrained says where its weights are"
        )
    return encoder
