"""The square of an image that a model looks at, in words that hold for all libraries."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

Size = tuple[int, int]
"""(height, width)."""
Mode = Literal["shortest", "longest", "squash"]


@dataclass(frozen=True)
class View:
    """How an image becomes (3, side, side) numbers: scaled, cut or padded, normalised."""

    side: int
    scaled: int
    """Pixels that a side is brought to before the middle is cut out."""
    mode: Mode
    """Which side that is; with "squash" both, whatever becomes of the proportions."""
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Of the three colours, in [0, 1]."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """The colour of the borders where "longest" leaves some."""

    def scale(self, size: Size) -> Size:
        """Return the size that an image is brought to, rounded as torchvision and open_clip do."""
        height, width = size
        if self.mode == "squash":
            return self.scaled, self.scaled
        if self.mode == "longest":
            ratio = max(height, width) / self.scaled
            return max(1, round(height / ratio)), max(1, round(width / ratio))
        if height <= width:
            return self.scaled, int(self.scaled * width / height)
        return int(self.scaled * height / width), self.scaled

    def __str__(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)
