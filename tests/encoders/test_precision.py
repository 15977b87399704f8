"""A lower precision is measured before it is taken, and what was measured is kept."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from clipcache.encoders import _precision as precision
from clipcache.encoders._precision import fast_types, sample_images, settle
from clipcache.encoders._tower import Tower
from clipcache.encoders._view import View
from clipcache.encoders.base import Encoder, Identity
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.errors import EncoderError
from tests.pictures import draw
from tests.real_encoder import tiny

HALF = (0.5, 0.5, 0.5)


def load(asked: str, **options: object) -> Encoder:
    torch.set_num_threads(1)
    return load_encoder(EncoderOptions("clipcache-tiny", None, "cpu", asked, **options))  # type: ignore[arg-type]


@pytest.fixture
def nothing_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "LEAST", 1.1)


@pytest.fixture
def fast_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "fast_types", lambda device: ("bfloat16",))


def test_bfloat16_is_nearly_float32_and_says_how_nearly() -> None:
    encoder = load("bfloat16")
    assert encoder.identity.dtype == "bfloat16"
    mean, least = map(float, re.findall(r"\d\.\d{6}", encoder.identity.checked))
    assert 0.999 <= least <= mean < 1
    pixels = np.stack([tiny().preprocess(draw(seed)) for seed in range(9)])
    full, lower = tiny().encode_images(pixels), encoder.encode_images(pixels)
    assert lower.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(lower, axis=1), 1, atol=1e-6)
    assert 0.999 <= (full * lower).sum(axis=1).min() < 0.999999
    np.testing.assert_array_equal(encoder.encode_text(["a coat"]), tiny().encode_text(["a coat"]))


def test_what_was_measured_is_what_comes_out_of_both() -> None:
    pixels = np.stack([tiny().preprocess(image) for image in sample_images()])
    lower = load("bfloat16")
    cosines = (tiny().encode_images(pixels) * lower.encode_images(pixels)).sum(axis=1)
    said = [float(number) for number in re.findall(r"\d\.\d{6}", lower.identity.checked)]
    np.testing.assert_allclose(said, [cosines.mean(), cosines.min()], atol=2e-6)


def test_the_sample_is_the_same_every_time() -> None:
    one, two = sample_images(), sample_images()
    assert [image.tobytes() for image in one] == [image.tobytes() for image in two]
    assert len({image.tobytes() for image in one}) == len(one)


@pytest.mark.usefixtures("nothing_is_good")
def test_a_precision_that_was_named_is_refused_where_it_is_not_as_good() -> None:
    with pytest.raises(EncoderError, match=r"cosine 0\.99\d+ on average.*use --precision float32"):
        load("bfloat16")


@pytest.mark.usefixtures("nothing_is_good", "fast_device")
def test_auto_falls_back_and_says_why() -> None:
    identity = load("auto").identity
    assert identity.dtype == "float32"
    assert re.search(r"bfloat16 on cpu.* cosine 0\.99.*float32 is used instead", identity.checked)
    assert identity == tiny().identity


@pytest.mark.usefixtures("fast_device")
def test_auto_takes_what_the_device_is_fast_at() -> None:
    assert load("auto").identity == load("bfloat16").identity


def test_auto_is_float32_where_less_is_not_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False, raising=False)
    assert fast_types(torch.device("cpu")) == ()
    assert load("auto").identity == tiny().identity
    assert not load("auto").identity.checked
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert fast_types(torch.device("cpu")) == ("bfloat16",)


class Large(nn.Module):
    """A network whose numbers float16 cannot hold, though its vectors are harmless."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((4,), 3e4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)).repeat(1, 2)[:, :4] * self.weight * 10 - self.weight


def test_numbers_that_overflow_are_noticed() -> None:
    view = View(8, 8, "squash", "bicubic", HALF, HALF)
    options = EncoderOptions("made up", precision="float16")

    def preprocess(image: object) -> np.ndarray:
        return np.ones((3, 8, 8), dtype=np.float32)

    with pytest.raises(EncoderError, match="cosine nan"):
        settle(Tower(Large(), view), options, preprocess)


def test_what_was_measured_before_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load("bfloat16").identity
    monkeypatch.setattr(precision, "sample_images", None)
    again = load_encoder(EncoderOptions("clipcache-tiny", device="cpu").settled(first))
    assert again.identity == first
    assert again.identity.checked == first.checked


def test_identities_of_before_are_read_and_the_measurement_does_not_count() -> None:
    identity = tiny().identity
    old = identity.to_dict()
    del old["checked"]
    assert Identity.from_dict(old) == identity
    assert replace(identity, checked="other") == identity
    assert replace(identity, dtype="bfloat16") != identity
    for name in old:
        with pytest.raises(KeyError):
            Identity.from_dict({key: old[key] for key in old if key != name})


def test_other_precisions_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"float8.*there are: float32, bfloat16, float16, auto"):
        EncoderOptions("clipcache-tiny", precision="float8")
