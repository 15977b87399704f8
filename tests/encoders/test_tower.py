"""What a device or a machine cannot do is told in a line."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from clipcache.encoders._precision import settle
from clipcache.encoders._tower import Tower
from clipcache.encoders._view import View
from clipcache.encoders.options import EncoderOptions
from clipcache.errors import DeviceError

HALF = (0.5, 0.5, 0.5)


class Full(nn.Module):
    """A network that fits into the memory of a GPU, and only three images with it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return images.mean(dim=(2, 3)) * self.weight


def full() -> Tower:
    return Tower(Full(), View(8, 8, "squash", "bicubic", HALF, HALF))


def pixels(image: object = None) -> np.ndarray:
    return np.ones((3, 8, 8), dtype=np.float32)


def test_a_batch_that_does_not_fit_is_told() -> None:
    assert full().encode(np.stack([pixels()] * 3)).shape == (3, 3)
    with pytest.raises(DeviceError, match=r"batch of 4 images does not fit.*smaller --batch-size"):
        full().encode(np.stack([pixels()] * 4))


@pytest.mark.parametrize("asked", ["bfloat16", "auto"])
def test_a_precision_that_there_is_no_room_to_measure_is_not_one_that_is_worse(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else "auto" would take another one, and so another cache, on a GPU that others use."""
    monkeypatch.setattr("clipcache.encoders._precision.fast_types", lambda device: ("bfloat16",))
    with pytest.raises(DeviceError, match=r"bfloat16 on cpu cannot be measured: 32 images.*float3"):
        settle(full(), EncoderOptions("made up", precision=asked), pixels)


PROGRAM = """
import numpy as np
from clipcache.encoders.options import EncoderOptions, load_encoder
from clipcache.errors import EncoderError
encoder = load_encoder(EncoderOptions("clipcache-tiny", device="cpu", compile=True))
try:
    encoder.encode_images(np.zeros((2, 3, 64, 64), dtype=np.float32))
except EncoderError as error:
    print(error)
"""


def test_a_machine_that_cannot_compile_is_told(tmp_path: Path) -> None:
    """In a process of its own: who compiles is looked up once."""
    env = {**os.environ, "CXX": "/nonexistent", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "compiled (No working C++ compiler found" in done.stdout
    assert done.stdout.endswith("needs a C++ compiler, and on a GPU Triton; do without --compile\n")
