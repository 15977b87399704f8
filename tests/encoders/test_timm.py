"""Models of timm, untrained: nothing is downloaded."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.data import create_transform

from clipcache import api
from clipcache.cache.reader import EmbeddingCache
from clipcache.cli.main import main
from clipcache.encoders.base import Encoder
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.errors import EncoderError, NoTextError, RunError
from tests.pictures import draw, folder, tree

MODEL = "timm:test_vit"
FILE = "weights.pt"


def load(
    pretrained: str | None = "random", *, model: str = MODEL, fast_decode: bool = False
) -> Encoder:
    torch.set_num_threads(1)
    return load_encoder(EncoderOptions(model, pretrained, "cpu", fast_decode=fast_decode))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A checkpoint with a classifier, as people have them."""
    torch.manual_seed(3)
    torch.save(timm.create_model("test_vit").state_dict(), tmp_path / FILE)
    return tmp_path / FILE


def test_it_is_timm_and_nothing_else(weights: Path) -> None:
    """The same through timm alone."""
    torch.manual_seed(3)
    net = timm.create_model("test_vit").eval()
    config = timm.data.resolve_model_data_config(net)
    transform = create_transform(**config, is_training=False)
    image = draw(1, (300, 200))
    with torch.inference_mode():
        features = net.forward_head(net.forward_features(transform(image)[None]), pre_logits=True)
    encoder = load(str(weights))
    found = encoder.encode_images(encoder.preprocess(image)[None])
    np.testing.assert_allclose(found, (features / features.norm()).numpy(), atol=1e-5)
    assert found.dtype == np.float32
    assert found.shape == (1, encoder.identity.dim)


def test_the_identity_tells_weights_by_their_content(weights: Path) -> None:
    identity = load(str(weights)).identity
    assert (identity.library, identity.model, identity.pretrained) == ("timm", "test_vit", FILE)
    assert identity == load(str(weights)).identity
    assert identity != load().identity
    assert "crop_pct" in identity.preprocessing


def test_random_weights_are_the_same_every_time() -> None:
    assert load().identity == load().identity


def test_fast_decoding_sees_the_same(tmp_path: Path) -> None:
    draw(1, (9, 7)).resize((300, 200)).save(tmp_path / "a.jpg", quality=95)
    data = (tmp_path / "a.jpg").read_bytes()
    one, two = load(), load(fast_decode=True)
    assert one.identity != two.identity
    vectors = [encoder.encode_images(encoder.prepare(data)[None])[0] for encoder in (one, two)]
    assert vectors[0] @ vectors[1] > 0.999


def test_it_knows_no_words() -> None:
    with pytest.raises(NoTextError, match=r"test_vit of timm sees images and knows no words"):
        load().encode_text(["a coat"])
    assert load().logit_scale == 1


@pytest.mark.parametrize(
    ("model", "pretrained", "match"),
    [
        ("timm:resnet5", None, "timm has no model called 'resnet5'"),
        ("timm:resnet50.a1_in1k", None, "tags go to --pretrained"),
        ("timm:resnet50", "best", "neither a file nor a tag of resnet50; its tags are: .*a1_in1k"),
        ("timm:vit_pwee_patch16_reg1_gap_256", "v", "neither a file nor a tag"),
    ],
)
def test_what_cannot_be_had_is_said(model: str, pretrained: str | None, match: str) -> None:
    with pytest.raises(EncoderError, match=match):
        load(pretrained, model=model)


def test_weights_of_another_model(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / FILE)
    with pytest.raises(EncoderError, match=r"weights\.pt could not be loaded as weights of test_v"):
        load(str(tmp_path / FILE))
    (tmp_path / FILE).write_text("no weights")
    with pytest.raises(EncoderError, match=r"weights\.pt could not be loaded as weights of test_v"):
        load(str(tmp_path / FILE))


def test_a_cache_of_it_has_names_without_vectors(tmp_path: Path) -> None:
    """All that needs no words works on it, and the rest says so in one line."""
    photos = folder(tmp_path / "photos", {"coat": 12, "hat": 12})
    where = tmp_path / "cache"
    for _ in range(2):
        api.embed(photos, where, MODEL, "random", device="cpu", split="random:0.3")
        before = tree(where)
    assert tree(where) == before
    text = EmbeddingCache.open(where).text()
    assert text is not None
    assert text.names == ("coat", "hat")
    assert np.isnan(text.vectors).all()
    assert text.described() == ()
    assert len(api.loop(where, tmp_path / "run", batch=2, rounds=2)) == 3
    with pytest.raises(RunError, match="class names"):
        api.loop(where, tmp_path / "other", head="zero_shot", batch=2, rounds=1)
    found = api.search(where, photos=[photos / "hat" / "003.png"], device="cpu", top=1)
    assert found[0].key == "hat/003.png"
    with pytest.raises(NoTextError, match="knows no words"):
        api.search(where, "a hat", device="cpu")


def test_the_command_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = folder(tmp_path / "photos", {"coat": 3})
    options = ["--model", MODEL, "--pretrained", "random", "--device", "cpu"]
    monkeypatch.setattr(
        "sys.argv", ["clipcache", "embed", str(photos), str(tmp_path / "c"), *options]
    )
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "random, untrained weights" in capsys.readouterr().err
    assert EmbeddingCache.open(tmp_path / "c").identity == load().identity
