"""The encoder of a cache is found again, or refused."""

from dataclasses import replace

import pytest

from clipcache.encoder_of import encoder_of
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.errors import CacheIdentityError, EncoderError
from tests.real_encoder import tiny


def test_the_same_encoder_comes_back() -> None:
    assert encoder_of(tiny().identity, device="cpu").identity == tiny().identity


def test_weights_under_another_name_are_told_by_their_content() -> None:
    with pytest.raises(CacheIdentityError, match=r"made by .*built-in.*but this is .*random"):
        encoder_of(tiny().identity, "random", device="cpu")
    moved = replace(tiny().identity, pretrained="weights-of-mine.pt")
    with pytest.raises(EncoderError, match=r"weights-of-mine\.pt.*name it with --pretrained"):
        encoder_of(moved, device="cpu")
    assert encoder_of(moved, "built-in", device="cpu").identity == moved


def test_vectors_made_elsewhere_have_no_encoder() -> None:
    made = replace(tiny().identity, library="import", model="ViT-B-32")
    with pytest.raises(EncoderError, match=r"made elsewhere .*ViT-B-32"):
        encoder_of(made)


@pytest.mark.parametrize(
    "options",
    [
        EncoderOptions("clipcache-tiny", device="cpu", precision="bfloat16"),
        EncoderOptions("clipcache-tiny", device="cpu", fast_decode=True),
        EncoderOptions("timm:test_vit", "random", "cpu", fast_decode=True),
    ],
    ids=["bfloat16", "fast", "timm"],
)
def test_it_computes_and_decodes_as_it_did(
    options: EncoderOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = load_encoder(options).identity
    monkeypatch.setattr("clipcache.encoders._precision.sample_images", None)  # once is enough
    found = encoder_of(identity, device="cpu")
    assert found.identity == identity
    assert found.identity.checked == identity.checked


def test_whoever_needs_float32_gets_it() -> None:
    lower = load_encoder(EncoderOptions("clipcache-tiny", device="cpu", precision="bfloat16"))
    found = encoder_of(lower.identity, device="cpu", precision="float32")
    assert found.identity == tiny().identity
    with pytest.raises(CacheIdentityError, match=r"but this is .*random"):
        encoder_of(lower.identity, "random", device="cpu", precision="float32")
