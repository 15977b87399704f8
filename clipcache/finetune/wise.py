"""Between the weights before and those after: less is forgotten.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT, arXiv 2109.01903): all that
was trained, tower and head, is set to (1 - alpha) * before + alpha * after.
"""

import torch

from clipcache.finetune.judge import HeldBack
from clipcache.finetune.network import Network

ALPHAS = (1.0, 0.75, 0.5, 0.25, 0.0)
"""What is tried on held-back labels; of equals the first."""


class Mix:
    """The two ends of a network that is finished, and everything between them."""

    def __init__(self, network: Network) -> None:
        """Remember the network as it is now, beside what it was before."""
        self._network = network
        self._trained = [
            (weight, network.before[name], weight.detach().clone())
            for name, weight in network.named_weights().items()
            if not torch.equal(weight, network.before[name])
        ]

    @torch.no_grad()
    def set(self, alpha: float) -> None:
        """Set the network; 0 is exactly before, 1 exactly after."""
        for weight, before, after in self._trained:
            weight.copy_(torch.lerp(before, after, alpha))

    def choose(self, held: HeldBack) -> float:
        """Set and return the alpha under which held-back labels are likeliest."""

        def loss(alpha: float) -> float:
            self.set(alpha)
            return held.judge(self._network).loss

        best = min(ALPHAS, key=loss)
        self.set(best)
        return best
