"""Names for the arrays that cross public doors.

Sizes are called the same everywhere: `n` rows of the cache, `d` dimensions, `c` classes, `k` picks.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32 | np.uint8]
"""(3, s, s) or (b, 3, s, s): what an encoder's own preprocessing makes of an image."""
RowIds = npt.NDArray[np.int64]
"""(k,) rows of the cache; the only public index."""
Labels = npt.NDArray[np.int64]
"""(k,) class indices, -1 where unknown."""
Features = npt.NDArray[np.float16]
"""(n, d) unit rows as the cache stores them."""
Vectors = npt.NDArray[np.float32]
"""(b, d) unit rows, ready for arithmetic."""
Logits = npt.NDArray[np.float32]
"""(b, c) unnormalised log-probabilities."""
Probs = npt.NDArray[np.float32]
"""(b, c) probabilities; rows sum to 1."""
Float64 = npt.NDArray[np.float64]
"""Arithmetic where float32 is not enough."""
Floats = npt.NDArray[np.floating[Any]]
"""Float32 or float64, whichever came in."""
Scores = npt.NDArray[np.float32]
"""(b,) acquisition scores; higher means "label sooner"."""
