"""What making a network leaves alone, and what it needs of a hub's client."""

import subprocess
import sys

import pytest
import torch

from clipcache.encoders._hub import made_quietly


def test_a_random_network_is_the_same_and_other_random_numbers_go_on() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made = []
    for _ in range(2):
        with made_quietly():
            made.append(torch.rand(3))
    assert torch.equal(*made)
    assert torch.equal(torch.rand(3), expected)


def test_gpus_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """To keep the state of their generators would begin to use all of them."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    asked: list[object] = []
    for name in ("get_rng_state", "set_rng_state", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, lambda *arguments: asked.append(arguments))
    with made_quietly():
        torch.rand(3)
    assert not asked


def test_a_plug_in_need_not_know_what_is_imported_first() -> None:
    program = "from clipcache.encoders._hub import made_quietly\nwith made_quietly(): pass"
    subprocess.run([sys.executable, "-c", program], check=True)
