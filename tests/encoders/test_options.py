"""The same options make the same encoder anywhere, whoever wrote it."""

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

import clipcache.encoders
from clipcache import registry
from clipcache.encoders.base import Encoder
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.errors import UnknownNameError
from clipcache.images.decode import decode
from tests.pictures import draw

TINY = EncoderOptions("clipcache-tiny", device="cpu")
EVERY = {
    "openclip": TINY,
    "fast": EncoderOptions("clipcache-tiny", device="cpu", fast_decode=True),
    "bfloat16": EncoderOptions("clipcache-tiny", device="cpu", precision="bfloat16"),
    "timm": EncoderOptions("timm:test_vit", "random", "cpu"),
}


def bytes_of(seed: int) -> bytes:
    file = BytesIO()
    draw(seed, (150, 110)).save(file, "jpeg", quality=95)
    return file.getvalue()


@pytest.fixture(params=EVERY)
def options(request: pytest.FixtureRequest) -> EncoderOptions:
    torch.set_num_threads(1)
    return EVERY[request.param]


@pytest.fixture
def encoder(options: EncoderOptions) -> Encoder:
    return load_encoder(options)


def test_every_library_is_tried_here() -> None:
    assert {options.library for options in EVERY.values()} == set(registry.names("encoders"))


def test_a_copy_of_the_options_makes_the_same_encoder(
    options: EncoderOptions, encoder: Encoder
) -> None:
    again = load_encoder(pickle.loads(pickle.dumps(options)))
    assert again.identity == encoder.identity
    pixels = np.stack([encoder.prepare(bytes_of(seed)) for seed in range(3)])
    np.testing.assert_array_equal(again.encode_images(pixels), encoder.encode_images(pixels))


def test_pixels_of_bytes_are_nearly_those_of_the_image(encoder: Encoder) -> None:
    pixels = encoder.prepare(bytes_of(1))
    side = encoder.identity.image_size
    assert pixels.shape == (3, side, side)
    assert pixels.dtype in (np.uint8, np.float32)
    drawn = encoder.preprocess(decode(bytes_of(1)))
    assert drawn.dtype == pixels.dtype
    one, two = encoder.encode_images(np.stack([pixels, drawn]))
    assert one @ two > 0.99


def test_threads_change_no_bit(encoder: Encoder) -> None:
    """Not of what is decoded, and not of what is encoded side by side."""
    data = [bytes_of(seed) for seed in range(24)]
    alone = np.stack([encoder.prepare(one) for one in data])
    batches = np.split(alone, 6)
    expected = [encoder.encode_images(batch) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        np.testing.assert_array_equal(np.stack(list(threads.map(encoder.prepare, data))), alone)
        for _ in range(3):
            found = list(threads.map(encoder.encode_images, batches))
            np.testing.assert_array_equal(np.stack(found), np.stack(expected))


def test_a_compiled_tower_has_the_same_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes a minute, so that it is only looked whether it is asked for, and when."""
    compiled: list[torch.nn.Module] = []

    def compile(module: torch.nn.Module) -> None:
        compiled.append(module)
        module.forward = None  # type: ignore[assignment]  # to make it is not to use it

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    plain, fast = load_encoder(TINY), load_encoder(replace(TINY, compile=True))
    assert [type(module).__name__ for module in compiled] == ["Tower"]
    assert fast.identity == plain.identity


def test_a_model_says_who_knows_it() -> None:
    assert (TINY.library, TINY.name) == ("openclip", "clipcache-tiny")
    other = EncoderOptions("timm:resnet50")
    assert (other.library, other.name) == ("timm", "resnet50")
    with pytest.raises(UnknownNameError, match="no encoders called 'tim'; there are: openclip, ti"):
        load_encoder(EncoderOptions("tim:resnet50"))


MINE = '''
"""The mean colour of an image, as its vector."""

import numpy as np

from clipcache.encoders.base import Identity
from clipcache.errors import NoTextError
from clipcache.images.decode import decode

__all__ = ["Mine"]


class Mine:
    logit_scale = 1.0
    lanes = 1

    def __init__(self, name):
        self.identity = Identity("mine", name, "none", "0" * 64, "mean", 1, 3, "float32")

    @classmethod
    def load(cls, options):
        return cls(options.name)

    def prepare(self, data):
        return self.preprocess(decode(data))

    def preprocess(self, image):
        return np.asarray(image.resize((1, 1)), dtype=np.float32).reshape(3, 1, 1)

    def encode_images(self, batch):
        rows = batch.reshape(-1, 3) + 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def encode_text(self, prompts):
        raise NoTextError("colours have no words")
'''


def test_a_file_in_the_folder_is_an_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by its name, and again by the identity that a cache remembers."""
    from clipcache import api
    from clipcache.cache.reader import EmbeddingCache
    from clipcache.encoder_of import encoder_of
    from tests.pictures import folder

    (tmp_path / "encoders").mkdir()
    (tmp_path / "encoders" / "mine.py").write_text(MINE)
    monkeypatch.setattr(registry, "PACKAGE", tmp_path)
    monkeypatch.setattr(
        clipcache.encoders,
        "__path__",
        [*clipcache.encoders.__path__, str(tmp_path / "encoders")],
    )
    photos = folder(tmp_path / "photos", {"coat": 3, "hat": 2})
    assert api.embed(photos, tmp_path / "cache", "mine:colour").images == 5
    cache = EmbeddingCache.open(tmp_path / "cache")
    assert cache.identity.model == "colour"
    assert encoder_of(cache.identity).identity == cache.identity
    found = api.search(tmp_path / "cache", photos=[photos / "hat" / "001.png"], top=1)
    assert found[0].key == "hat/001.png"
    monkeypatch.delitem(sys.modules, "clipcache.encoders.mine")
