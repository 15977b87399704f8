"""The labels that an encoder was trained on, which say too little of how sure a head may be.

A head that is fitted without a label has not seen it, but such an encoder has: it puts the image
where its class is. `finetune` writes their rows beside the new cache's arrays.

```
CACHE/taught.json   sorted rows, those that earlier encoders were trained on among them
```
"""

import json

import numpy as np

from clipcache.arrays import RowIds
from clipcache.cache.reader import EmbeddingCache
from clipcache.cache.storage import storage_of
from clipcache.images.roots import Place

NAME = "taught.json"


def remember(cache: Place, rows: RowIds) -> None:
    """Keep with a cache which of its rows the encoder was trained on."""
    storage_of(cache).write(NAME, json.dumps(rows.tolist()).encode())


def rows_taught(cache: EmbeddingCache) -> RowIds:
    """Return the rows that the encoder of a cache was trained on, as far as the cache knows."""
    path = cache.folder / NAME
    return np.array(json.loads(path.read_bytes()) if path.exists() else [], dtype=np.int64)


def count_taught(cache: EmbeddingCache, rows: RowIds) -> int:
    """Return how many of some rows the encoder was trained on."""
    return int(np.isin(rows, rows_taught(cache)).sum())
