"""What each `--tune` trains, by the names of the parameters that change."""

from functools import cache
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import nn

from clipcache.errors import EncoderError
from clipcache.finetune.lora import LowRank, merge
from clipcache.finetune.tower import Tune, unlock
from clipcache.tiny import CONFIG

TRANSFORMER: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 16, "layers": 3, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 20, "width": 8, "heads": 2, "layers": 1},
}


def transformer() -> Any:
    torch.manual_seed(0)
    return open_clip.CLIP(**TRANSFORMER).eval()


@cache
def _config() -> None:
    open_clip.add_model_config(CONFIG)


def resnet() -> Any:
    _config()
    torch.manual_seed(0)
    return open_clip.create_model("clipcache-tiny", pretrained=None).eval()


def stepped(model: Any, tune: str) -> set[str]:
    """Names of the parameters and buffers that one step of gradient descent changes."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = unlock(model, Tune.parse(tune))
    optimizer = torch.optim.SGD(trained.values(), lr=1.0)
    for _ in range(2):  # the second step moves what multiplies with a zero in the first
        side = model.visual.image_size
        side = side if isinstance(side, int) else side[0]
        images = torch.randn(3, 3, side, side, generator=torch.Generator().manual_seed(1))
        optimizer.zero_grad()
        (
            model.encode_image(images) * torch.linspace(-1, 1, model.visual.output_dim)
        ).sum().backward()
        optimizer.step()
    merge(model)
    after = model.state_dict()
    assert after.keys() == before.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_all_changes_the_whole_image_tower_and_nothing_else() -> None:
    model = transformer()
    # What attention adds to all keys alike changes nothing, so its gradient is rounding at most.
    assert stepped(model, "all") == {
        f"visual.{name}" for name, _ in model.visual.named_parameters()
    }


def test_blocks_changes_the_last_ones_and_what_follows() -> None:
    changed = stepped(transformer(), "blocks:2")
    blocks = {name for name in changed if ".resblocks." in name}
    assert {name.split(".")[3] for name in blocks} == {"1", "2"}
    assert {"visual.proj", "visual.ln_post.weight", "visual.ln_post.bias"} == changed - blocks


def test_blocks_of_a_resnet_are_counted_from_the_end() -> None:
    changed = stepped(resnet(), "blocks:2")
    tops = {".".join(name.split(".")[1:3]) for name in changed if ".layer" in name}
    assert tops == {"layer3.1", "layer4.0"}
    assert all(name.startswith(("visual.layer", "visual.attnpool.")) for name in changed)
    assert not any("running" in name or "num_batches" in name for name in changed)


def test_lora_changes_matrices_of_blocks_only() -> None:
    changed = stepped(transformer(), "lora:2")
    assert changed == {
        f"visual.transformer.resblocks.{block}.{name}"
        for block in range(3)
        for name in (
            "attn.in_proj_weight",
            "attn.out_proj.weight",
            "mlp.c_fc.weight",
            "mlp.c_proj.weight",
        )
    }


@pytest.mark.parametrize("make", [transformer, resnet])
def test_lora_begins_as_nothing_and_its_rank_is_kept(make: Any) -> None:
    model = make()
    side = 16 if make is transformer else 64
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    old = {name: p.detach().clone() for name, p in model.visual.named_parameters()}
    with torch.no_grad():
        plain = model.encode_image(images)
        trained = unlock(model, Tune.parse("lora:2"))
        torch.testing.assert_close(model.encode_image(images), plain)
        for parameter in trained.values():
            parameter.normal_(std=0.3)
        changed = model.encode_image(images)
        assert not torch.allclose(changed, plain, atol=1e-3)
        merge(model)
        torch.testing.assert_close(model.encode_image(images), changed)
    for name, p in model.visual.named_parameters():
        if not torch.equal(p, old[name]):
            assert np.linalg.matrix_rank((p.detach() - old[name]).flatten(1).numpy(), 1e-4) <= 2


def test_the_change_of_a_convolution_has_its_shape() -> None:
    weight = torch.zeros(6, 4, 3, 3)
    change = LowRank(weight, 50)
    assert change.up.shape == (6, 6)
    nn.init.ones_(change.up)
    expected = np.ones((6, 6)) @ change.down.detach().numpy()
    np.testing.assert_allclose(change(weight).detach(), expected.reshape(6, 4, 3, 3), atol=1e-5)


@pytest.mark.parametrize("text", ["some", "blocks", "blocks:0", "lora:-1", "all:3", "lora:x"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(EncoderError, match=r"is unknown; give all, blocks:2 or lora:8"):
        Tune.parse(text)


@pytest.mark.parametrize("text", ["all", "blocks:2", "lora:8"])
def test_words_are_read_back(text: str) -> None:
    assert str(Tune.parse(text)) == text


def test_too_many_blocks_are_refused() -> None:
    with pytest.raises(EncoderError, match="has 3 blocks; give fewer"):
        unlock(transformer(), Tune.parse("blocks:4"))


def test_a_tower_without_blocks_is_refused() -> None:
    model = nn.Module()
    model.visual = nn.Linear(2, 2)
    with pytest.raises(EncoderError, match="where a Linear keeps its blocks"):
        unlock(model, Tune.parse("blocks:1"))
