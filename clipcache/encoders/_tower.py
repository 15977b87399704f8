"""An image tower of PyTorch on its device: pixels in, unit vectors out."""

import hashlib

import torch
from torch import nn
from torch.nn import functional

from clipcache.arrays import Pixels, Vectors
from clipcache.encoders._hub import first_line
from clipcache.encoders._view import View
from clipcache.errors import DeviceError, EncoderError


class Tower(nn.Module):
    """Makes (b, d) float32 unit rows of (b, 3, s, s) pixels, which several threads may ask for."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, body: nn.Module, view: View) -> None:
        """Take a module from (b, 3, s, s) normalised float32 to (b, d); it keeps its device."""
        super().__init__()
        # Convolutions run 1.3 to 1.8 times faster on the CPU this way; transformers do not mind.
        self.body = body.eval().to(memory_format=torch.channels_last)
        self.device = next(body.parameters()).device
        for name in ("mean", "std"):
            values = torch.tensor(getattr(view, name), device=self.device).reshape(3, 1, 1)
            self.register_buffer(name, values)
        self.dtype = torch.float32

    @property
    def precision(self) -> str:
        """What the body computes in: float32, bfloat16 or float16."""
        return str(self.dtype).removeprefix("torch.")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return unit rows for normalised pixels, or for plain ones of 8 bits."""
        if images.dtype == torch.uint8:
            images = (images / 255 - self.mean) / self.std
        rows = self.body(images.to(self.dtype))
        if isinstance(rows, tuple):  # CoCa hands out its tokens too
            rows = rows[0]
        return functional.normalize(rows.float(), dim=1)

    def encode(self, batch: Pixels) -> Vectors:
        """Return (b, d) float32 unit rows for (b, 3, s, s) pixels, normalised or of 8 bits.

        Raises DeviceError where they do not fit into the memory of a GPU, EncoderError where the
        tower is to be compiled and cannot.
        """
        try:
            return self._encode(batch)
        except torch.OutOfMemoryError as error:
            raise DeviceError(
                f"a batch of {len(batch)} images does not fit into the memory of the GPU; give a "
                "smaller --batch-size, or end what else uses the GPU"
            ) from error
        except torch._dynamo.exc.TorchDynamoException as error:
            why = first_line(getattr(error, "inner_exception", error))
            raise EncoderError(
                f"the network cannot be compiled ({why}), which needs a C++ compiler, and on a GPU "
                "Triton; do without --compile"
            ) from error

    @torch.inference_mode()
    def _encode(self, batch: Pixels) -> Vectors:
        images = torch.from_numpy(batch)
        if self.device.type == "cuda":
            images = images.pin_memory()  # what is pinned is copied without a detour
        vectors: Vectors = self(images.to(self.device, non_blocking=True)).cpu().numpy()
        return vectors


def pick_device(device: str) -> str:
    """Return "cpu" or "cuda" for "auto" too; EncoderError where there is no CUDA."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise EncoderError("device cuda was asked for, but PyTorch sees none; use --device cpu")
    return device


def digest(net: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all parameters and buffers, in order of name."""
    sha = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        sha.update(f"{name} {tuple(values.shape)} {values.dtype}\n".encode())
        sha.update(values.reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()
