from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file

from bench.tiny_card import encode, measure
from clipcache.encoders.openclip import TINY, OpenClip
from clipcache.encoders.options import EncoderOptions
from clipcache.tiny import CONFIG, WEIGHTS
from clipcache.tiny.garments import CLASSES
from clipcache.tiny.render import render_with_caption
from clipcache.tiny.train import FreshPictures, caption_tokens, main


@pytest.fixture(scope="module")
def encoder() -> OpenClip:
    return OpenClip.load(EncoderOptions(TINY, device="cpu"))


def test_weights_are_small_enough_to_ship() -> None:
    assert WEIGHTS.stat().st_size <= 15_000_000


def test_open_clip_loads_it_by_itself(rng: np.random.Generator) -> None:
    open_clip.add_model_config(CONFIG)
    model, _, transform = open_clip.create_model_and_transforms(
        "clipcache-tiny", pretrained=str(WEIGHTS)
    )
    model.eval()
    picture, caption = render_with_caption(0, rng=rng)
    with torch.inference_mode():
        image = model.encode_image(transform(picture)[None])
        text = model.encode_text(open_clip.get_tokenizer("clipcache-tiny")([caption]))
    assert image.shape == text.shape == (1, 128)
    assert torch.isfinite(image).all()
    assert torch.isfinite(text).all()


def test_it_knows_its_classes_and_labels_teach_it_more(encoder: OpenClip) -> None:
    figures = measure(encoder, seed=1, train=40, test=15)
    chance = 100 / len(CLASSES)
    assert 10 * chance < figures["zero-shot top-1"] < figures["zero-shot top-5"]
    assert figures["probe, 3 labels a class"] < figures["probe, 10 labels a class"]
    assert figures["zero-shot top-1"] < figures["probe, all 40 labels a class"]


def test_pictures_of_two_streams_differ_and_one_stream_repeats(encoder: OpenClip) -> None:
    one, same, other = (
        encode(encoder, seed=s, split=t, per_class=1)[0] for s, t in ((1, 0), (1, 0), (1, 1))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


def test_a_batch_is_decided_by_seed_and_step() -> None:
    one, same, other = (
        FreshPictures(seed=seed, steps=9, batch_size=4, image_size=32)[5] for seed in (0, 0, 1)
    )
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])
    assert not torch.equal(one[0], other[0])


def test_words_that_no_caption_used_have_zero_rows() -> None:
    table = load_file(WEIGHTS)["token_embedding.weight"]
    unseen = np.setdiff1d(np.arange(len(table)), caption_tokens().numpy())
    assert not table[unseen].any()
    assert table[caption_tokens().numpy()].any(axis=1).all()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12: fork, threads
def test_a_short_training_writes_weights_that_load(tmp_path: Path) -> None:
    arguments = ["--steps", "2", "--batch-size", "8", "--out", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    trained = OpenClip.load(EncoderOptions(TINY, str(tmp_path / WEIGHTS.name), "cpu"))
    assert np.isfinite(trained.encode_text(CLASSES)).all()
