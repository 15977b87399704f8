"""The encoder of a cache is found again, or refused."""

from dataclasses import replace

import pytest

from clipcache.encoder_of import encoder_of
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
