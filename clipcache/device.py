"""The same scoring on a GPU: what is sure is sorted out there, what is close is settled in float64.

The pool lies on the device as float16 where it fits, and is streamed to it where it does not. Both
ways the best k are those that the processors find: the device only says who may be among them, and
`contenders.py` decides between those. Plain scores and shortlists may differ in their last bits.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from clipcache.arrays import Features, Floats, Labels, Probs, RowIds, Vectors
from clipcache.errors import ArrayError, DeviceError
from clipcache.features import SEGMENT, Rows
from clipcache.kernels.measure import Measure
from clipcache.projection import (
    OVERFLOW,
    Answer,
    Block,
    HasLogits,
    HostAnswer,
    Reach,
    Weights,
    longest,
)

BLOCK_BYTES = 2**29
"""What the float32 rows and logits of a block may take; with all copies about 2.5 times as much."""
SHARE = 0.6
"""Part of the free memory that a pool may take, to stay on the device."""


class OnDevice:
    """(n, d) rows with a copy on a device."""

    def __init__(self, features: Rows, device: str) -> None:
        """Copy the rows where they fit; DeviceError where there is no such device."""
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise DeviceError("device cuda was asked for, but PyTorch sees none; use --device cpu")
        try:
            self.device = torch.device(device)
        except RuntimeError as error:
            raise DeviceError(f"there is no device {device!r}; use cpu or cuda") from error
        self.shape: tuple[int, int] = (features.shape[0], features.shape[1])
        self.chunk_rows = getattr(features, "chunk_rows", SEGMENT)
        self._host = features
        self.dtype = features.dtype
        self._copy: torch.Tensor | None = None
        if self._fits():
            self._copy = torch.empty(self.shape, dtype=_torch(self.dtype), device=self.device)
            for start in range(0, self.shape[0], self.chunk_rows):
                chunk = self.read(start // self.chunk_rows)
                self._copy[start : start + len(chunk)] = self._upload(chunk)

    def read(self, chunk: int) -> Features | Vectors:
        """Return the rows of one chunk, from the host."""
        if isinstance(self._host, np.ndarray):
            start = chunk * self.chunk_rows
            rows: Features | Vectors = self._host[start : start + self.chunk_rows]
            return rows
        return self._host.read(chunk)

    def __getitem__(self, rows: RowIds) -> Features | Vectors:
        """Return some rows, from the host."""
        found: Features | Vectors = self._host[rows]
        return found

    def each_block(
        self, rows: RowIds, heads: Sequence[HasLogits], visit: Callable[[Block], None]
    ) -> list[RowIds]:
        """Call `visit` with every block, and return the rows that are not finite."""
        linear = [
            _Weights(head, self.device) if isinstance(head, Weights) else None for head in heads
        ]
        columns = sum(head.reach.classes for head in linear if head)
        bad = []
        for place, x in self._blocks(rows, columns):
            squares = x.square().sum(dim=1)
            part = rows[place]
            length, finite = longest(squares.cpu().numpy(), self, part)
            answers: list[Answer] = [
                on_device.answer(x, length) if on_device else HostAnswer(_logits(head, x), None)
                for head, on_device in zip(heads, linear, strict=True)
            ]
            if not finite.all():
                bad.append(part[~finite])
            visit(Block(place, part, answers))
        return bad

    def _blocks(self, rows: RowIds, columns: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """Yield places among the wanted rows, and the rows there as float32 on the device."""
        size = max(1, BLOCK_BYTES // (4 * (self.shape[1] + 3 * columns)))
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            if self._copy is None:
                x = self._upload(self._host[part])
            else:
                x = self._copy[torch.from_numpy(part.copy()).to(self.device)]
            yield slice(start, start + len(part)), x.float()

    def _fits(self) -> bool:
        if self.device.type != "cuda":
            return True
        free, _ = torch.cuda.mem_get_info(self.device)
        return self.dtype.itemsize * self.shape[0] * self.shape[1] < SHARE * free

    def _upload(self, rows: Features | Vectors) -> torch.Tensor:
        """Copy rows to the device through memory that it may read by itself."""
        pinned = torch.empty(
            rows.shape, dtype=_torch(self.dtype), pin_memory=self.device.type == "cuda"
        )
        pinned.numpy()[:] = rows
        return pinned.to(self.device)


class _Weights:
    """A linear head on the device."""

    def __init__(self, head: Weights, device: torch.device) -> None:
        self.reach = Reach.of(head)
        weight = np.ascontiguousarray(head.weight, dtype=np.float32)
        self._weight = torch.tensor(weight, device=device)
        self._bias = torch.tensor(head.bias, device=device, dtype=torch.float32)

    def answer(self, x: torch.Tensor, length: float) -> "DeviceAnswer":
        """Return the answer for (b, d) float32 rows of at most this length."""
        # One rounding for each product and each addition, in whatever order; in float32, whatever
        # the user allows PyTorch elsewhere.
        error = self.reach.error(length, self.reach.dim + 2)
        allowed = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            logits = torch.addmm(self._bias, x, self._weight)
        finally:
            torch.set_float32_matmul_precision(allowed)
        if error >= OVERFLOW:
            logits[:] = torch.nan
        return DeviceAnswer(logits, error)


@dataclass(frozen=True)
class DeviceAnswer:
    """An answer on the device; only what was asked for leaves it."""

    logits: torch.Tensor
    """(b, c) float32; NaN where they may have been too large for that."""
    error: float

    def rivals(self, measure: Measure, k: int) -> tuple[RowIds | slice, Floats, Floats | float]:
        """Return the places, scores and slack of those that may be among the best `k`."""
        scores, likeliest = _measure(measure, self.logits)
        slack = measure.slack(self.error, likeliest, self.logits.shape[1])
        low = torch.nan_to_num(scores - slack, nan=-torch.inf, posinf=torch.inf)
        floor = low.topk(min(max(k, 1), len(low))).values[-1]
        place = (~(scores + slack < floor)).nonzero()[:, 0]
        wide = slack[place].cpu().numpy() if isinstance(slack, torch.Tensor) else slack
        return place.cpu().numpy(), scores[place].cpu().numpy(), wide

    def scores(self, measure: Measure) -> Floats:
        """Return (b,) float32 scores."""
        scores: Floats = _measure(measure, self.logits)[0].cpu().numpy()
        return scores

    def shortlist(self, k: int) -> tuple[Labels, Probs]:
        """Return (b, k) classes, the likeliest first, and their probabilities."""
        if k > self.logits.shape[1]:
            raise ArrayError(f"{k} classes were asked for, the head has {self.logits.shape[1]}")
        # A stable sort, so that of equal logits the lower class comes first.
        order = torch.sort(self.logits, dim=1, descending=True, stable=True).indices[:, :k]
        probs = torch.softmax(self.logits, dim=1).gather(1, order)
        return order.cpu().numpy(), probs.cpu().numpy()


def _torch(dtype: np.dtype[Any]) -> torch.dtype:
    return torch.float16 if dtype == np.float16 else torch.float32


def _logits(head: HasLogits, x: torch.Tensor) -> Floats:
    return head.logits(x.cpu().numpy())


def _measure(measure: Measure, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (b,) scores and (b,) probabilities of the likeliest class."""
    if measure.name not in FORMULAS:
        raise DeviceError(f"the measure {measure.name} is not made for a GPU; use --device cpu")
    p = torch.softmax(logits.view(len(logits), measure.members, -1), dim=2)
    return FORMULAS[measure.name](p, logits), p.amax(dim=(1, 2))


def _margin(p: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    alone = torch.nn.functional.pad(p[:, 0], (0, 1))  # a class without rivals has one that is 0
    best = alone.topk(2, dim=1).values
    return 1 - (best[:, 0] - best[:, 1])


def _entropy(p: torch.Tensor) -> torch.Tensor:
    """Return the entropy of the last dimension, in bits."""
    nats: torch.Tensor = -torch.special.xlogy(p, p).sum(dim=-1)
    return nats / math.log(2)


def _disagreement(p: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return (_entropy(p.mean(dim=1)) - _entropy(p).mean(dim=1)).clamp(min=0)


FORMULAS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "margin": _margin,
    "least_confidence": lambda p, logits: 1 - p.amax(dim=(1, 2)),
    "entropy": lambda p, logits: _entropy(p[:, 0]),
    "energy": lambda p, logits: -torch.logsumexp(logits, dim=1),
    "disagreement": _disagreement,
}
"""A kernel's name -> its formula, from (b, members, c) probabilities and the logits."""
