"""The one encoder, on the built-in model and on untrained ones: nothing is downloaded."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from clipcache import tiny as tiny_files
from clipcache.encoders.base import Encoder, Identity
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.errors import EncoderError
from tests.pictures import draw
from tests.real_encoder import tiny


def load(model: str, pretrained: str | None = None) -> Encoder:
    return load_encoder(EncoderOptions(model, pretrained))


def batch(n: int) -> np.ndarray:
    return np.stack([tiny().preprocess(draw(seed)) for seed in range(n)])


def test_vectors_are_unit_rows_of_the_promised_shape() -> None:
    for vectors in (tiny().encode_images(batch(5)), tiny().encode_text(["a", "b c", ""])):
        assert vectors.dtype == np.float32
        assert vectors.shape[1] == tiny().identity.dim == 128
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert tiny().encode_images(batch(5)).shape[0] == 5


def test_it_is_open_clip_and_nothing_else() -> None:
    """The same through open_clip alone."""
    open_clip.add_model_config(tiny_files.CONFIG)
    net, _, transform = open_clip.create_model_and_transforms(
        "clipcache-tiny", pretrained=str(tiny_files.WEIGHTS)
    )
    net.eval()
    with torch.inference_mode():
        expected = net.encode_image(torch.stack([transform(draw(0))]), normalize=True).numpy()
        words = open_clip.get_tokenizer("clipcache-tiny")(["a coat"])
        text = net.encode_text(words, normalize=True).numpy()
    np.testing.assert_allclose(tiny().encode_images(batch(1)), expected, atol=1e-5)
    np.testing.assert_allclose(tiny().encode_text(["a coat"]), text, atol=1e-5)
    assert tiny().logit_scale == pytest.approx(float(net.logit_scale.detach().exp()))


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    together = tiny().encode_images(batch(7))
    for row, pixels in zip(together, batch(7), strict=True):
        np.testing.assert_allclose(row, tiny().encode_images(pixels[None])[0], atol=1e-5)


def test_many_prompts_are_the_same_as_few() -> None:
    prompts = [f"number {number}" for number in range(300)]
    few = np.concatenate([tiny().encode_text(prompts[:7]), tiny().encode_text(prompts[7:])])
    np.testing.assert_allclose(tiny().encode_text(prompts), few, atol=1e-5)


def test_threads_may_preprocess_at_once() -> None:
    images = [draw(seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(tiny().preprocess, images))
    for image, pixels in zip(images, together, strict=True):
        assert pixels.shape == (3, 64, 64)
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, tiny().preprocess(image))


def test_the_identity_names_what_decides_the_vectors() -> None:
    identity = tiny().identity
    assert (identity.library, identity.model) == ("open_clip", "clipcache-tiny")
    assert (identity.image_size, identity.dim, identity.dtype) == (64, 128, "float32")
    assert len(identity.weights) == 64
    for word in ("exif", "alpha", "bicubic", "mean"):
        assert word in identity.preprocessing
    assert load("clipcache-tiny").identity == identity
    assert Identity.from_dict(identity.to_dict()) == identity


@pytest.mark.parametrize("field", ["library", "model", "weights", "preprocessing", "dtype"])
def test_any_other_field_makes_another_encoder(field: str) -> None:
    values = tiny().identity.to_dict()
    assert Identity.from_dict(values | {field: "other"}) != tiny().identity


def test_the_name_of_a_file_of_weights_does_not_matter(tmp_path: Path) -> None:
    shutil.copy(tiny_files.WEIGHTS, tmp_path / "copy.safetensors")
    copy = load("clipcache-tiny", str(tmp_path / "copy.safetensors"))
    assert copy.identity == tiny().identity
    assert copy.identity.pretrained == "copy.safetensors"


def test_random_weights_are_the_same_every_time_and_others() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two = (load("clipcache-tiny", "random") for _ in range(2))
    assert one.identity == two.identity
    assert one.identity != tiny().identity
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("model", "pretrained", "match"),
    [
        ("ViT-Q", None, "no model called 'ViT-Q'"),
        ("RN50", None, "no weights were named for RN50; give --pretrained"),
        ("RN50", "best", "neither a file nor a hub tag of RN50; its tags are: openai"),
        ("clipcache-tiny", "openai", "its tags are: none"),
    ],
)
def test_what_cannot_be_had_is_said(model: str, pretrained: str | None, match: str) -> None:
    with pytest.raises(EncoderError, match=match):
        load(model, pretrained)


def test_weights_of_another_model(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="could not be loaded as weights of RN50: "):
        load("RN50", str(tiny_files.WEIGHTS))


SIGLIP = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "image_size": 160,
        "timm_model_name": "test_vit",
        "timm_pool": "avg",
        "timm_proj": "none",
    },
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 64,
        "heads": 2,
        "layers": 1,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    },
}
"""A small model that is made like SigLIP."""


@pytest.fixture
def siglip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let open_clip know the model, and published weights with the preprocessing of SigLIP."""
    config = tmp_path / "small-sigmoid.json"
    config.write_text(json.dumps(SIGLIP))
    for name in ("_MODEL_CONFIG_PATHS", "_MODEL_CONFIGS"):
        before = getattr(open_clip.factory, name)
        monkeypatch.setattr(open_clip.factory, name, before.copy())
    open_clip.add_model_config(config)
    half = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    published = {"webli": {"interpolation": "bicubic", "resize_mode": "squash"} | half}
    known = open_clip.pretrained._PRETRAINED
    monkeypatch.setitem(known, "small-sigmoid", published)
    return config


@pytest.mark.usefixtures("siglip")
def test_weights_from_elsewhere_see_images_as_published_ones_do() -> None:
    """Open_clip would cut the middle out and take OpenAI's colours."""
    encoder = load("small-sigmoid", "random")
    image = draw(1, (300, 150))
    plain = np.asarray(image.resize((160, 160), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    np.testing.assert_allclose(encoder.preprocess(image), plain / 127.5 - 1, atol=1e-5)
    assert encoder.logit_scale == pytest.approx(1 / 0.07, rel=1e-4)
    for vectors in (encoder.encode_images(batch_of(encoder)), encoder.encode_text(["a", "b"])):
        assert vectors.shape == (2, 64)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def batch_of(encoder: Encoder) -> np.ndarray:
    return np.stack([encoder.preprocess(draw(seed)) for seed in range(2)])


def test_where_published_weights_differ_nothing_is_guessed(
    siglip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load("small-sigmoid", "random").identity
    known = open_clip.pretrained._PRETRAINED["small-sigmoid"]
    other = {"other": known["webli"] | {"resize_mode": "longest"}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "small-sigmoid", known | other)
    assert "shortest" in load("small-sigmoid", "random").identity.preprocessing
    assert "squash" in before.preprocessing


def test_a_tokenizer_that_cannot_be_had_stops_words_only(siglip: Path) -> None:
    text = SIGLIP["text_cfg"] | {"hf_tokenizer_name": "/nowhere"}  # type: ignore[operator]
    siglip.write_text(json.dumps(SIGLIP | {"text_cfg": text}))
    open_clip.add_model_config(siglip)
    encoder = load("small-sigmoid", "random")
    assert encoder.encode_images(batch_of(encoder)).shape == (2, 64)
    with pytest.raises(EncoderError, match="tokenizer of small-sigmoid could not be had") as caught:
        encoder.encode_text(["a"])
    assert "\n" not in str(caught.value)
