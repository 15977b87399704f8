"""Low-rank changes of weights, which are trained in place of the weights and added to them after.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models" (arXiv 2106.09685), equation 3,
with alpha equal to the rank. PyTorch's own parametrisations do it without another library and for
every matrix: peft changes modules, and open_clip's attention reads the weight of its output
projection past the module, and has those of query, key and value in one matrix that is no module.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Weight + up @ down; nothing at the beginning, since `up` is zero."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(weight.new_empty(rank, columns))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight; a convolution's (o, i, h, w) counts as (o, i * h * w)."""
        return weight + (self.up @ self.down).view_as(weight)


def add_low_rank(modules: Iterable[nn.Module], rank: int) -> None:
    """Give each matrix of linear layers, convolutions and attention a low-rank change to train.

    Draws from PyTorch's generator.
    """
    for module in [inner for outer in modules for inner in outer.modules()]:
        for name, weight in list(module.named_parameters(recurse=False)):
            if name.endswith("weight") and weight.ndim > 1:
                parametrize.register_parametrization(module, name, LowRank(weight, rank))


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add all changes to their weights; then the model has its own parameters and no others."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
