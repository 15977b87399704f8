"""A model's weights on disk, as open_clip and `clipcache embed --pretrained` take them."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from clipcache.durable import whole_file
from clipcache.errors import RunError

SUFFIX = ".safetensors"


def check_name(path: Path) -> None:
    """Raise RunError unless a checkpoint can be written to a file of this name, a new one."""
    if path.suffix != SUFFIX:
        raise RunError(
            f"{path} does not end in {SUFFIX}, by which open_clip knows how to read it; give such a"
            " name"
        )
    if not path.parent.is_dir():
        raise RunError(f"there is no folder {path.parent} to write {path.name} to; make it first")
    if path.exists():  # its name is all that a cache knows of the weights it was made with
        raise RunError(
            f"there is a file {path} already, and a cache that was made with it would lose its "
            "encoder; name another --out"
        )


def write_checkpoint(path: Path, model: Any) -> None:
    """Write the whole model, both towers, as safetensors: whole or not at all."""
    # Copies: safetensors wants memory in order and refuses tensors that share it.
    weights = {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in model.state_dict().items()
    }
    with whole_file(path) as partial:
        save_file(weights, partial)
