"""The one encoder, on the built-in model and on untrained ones: nothing is downloaded."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from clipcache import tiny as tiny_files
from clipcache.encoders.base import Identity
from clipcache.encoders.openclip import OpenClip
from clipcache.errors import EncoderError
from tests.pictures import draw
from tests.real_encoder import tiny


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
    assert OpenClip.load("clipcache-tiny").identity == identity
    assert Identity.from_dict(identity.to_dict()) == identity


@pytest.mark.parametrize("field", ["library", "model", "weights", "preprocessing", "dtype"])
def test_any_other_field_makes_another_encoder(field: str) -> None:
    values = tiny().identity.to_dict()
    assert Identity.from_dict(values | {field: "other"}) != tiny().identity


def test_the_name_of_a_file_of_weights_does_not_matter(tmp_path: Path) -> None:
    shutil.copy(tiny_files.WEIGHTS, tmp_path / "copy.safetensors")
    copy = OpenClip.load("clipcache-tiny", str(tmp_path / "copy.safetensors"))
    assert copy.identity == tiny().identity
    assert copy.identity.pretrained == "copy.safetensors"


def test_random_weights_are_the_same_every_time_and_others() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two = (OpenClip.load("clipcache-tiny", "random") for _ in range(2))
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
        OpenClip.load(model, pretrained)


def test_weights_of_another_model(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="could not be loaded as weights of RN50: "):
        OpenClip.load("RN50", str(tiny_files.WEIGHTS))
